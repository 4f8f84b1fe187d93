#include <sys/mman.h>

#include <cstdlib>
#include <new>

#include "qsmpi/core/volume.hpp"

namespace qsmpi {

void* allocate_aligned(std::size_t bytes)
{
    constexpr std::size_t huge_page = std::size_t{1} << 21;
    const bool large = bytes >= 2 * huge_page;
    const std::size_t alignment = large ? huge_page : 64;
    void* p = std::aligned_alloc(alignment, (bytes + alignment - 1) / alignment * alignment);
    if (p == nullptr) throw std::bad_alloc();
    // Only the whole pages: the rounded-up tail would count as memory in use.
    if (large) madvise(p, bytes / huge_page * huge_page, MADV_HUGEPAGE);
    return p;
}

}  // namespace qsmpi
