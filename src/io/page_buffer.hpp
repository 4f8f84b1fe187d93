#pragma once
#include <cstddef>
#include <new>
#include <span>

#include <sys/mman.h>

namespace qsmpi::io
{

/// Bytes straight from the kernel, given back to it at once: file contents pass through in the megabytes, and
/// a heap would keep the holes they leave. Move-only.
class PageBuffer
{
public:
    PageBuffer() = default;
    explicit PageBuffer(std::size_t n) : size_(n)
    {
        if (n == 0) return;
        void* const p = ::mmap(nullptr, n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (p == MAP_FAILED) throw std::bad_alloc();
        data_ = static_cast<std::byte*>(p);
    }
    ~PageBuffer()
    {
        if (data_ != nullptr) ::munmap(data_, size_);
    }
    PageBuffer(PageBuffer&& other) noexcept : data_(other.data_), size_(other.size_)
    {
        other.data_ = nullptr;
        other.size_ = 0;
    }
    PageBuffer& operator=(PageBuffer&&) = delete;
    PageBuffer(const PageBuffer&) = delete;
    PageBuffer& operator=(const PageBuffer&) = delete;
    [[nodiscard]] std::span<std::byte> span() { return {data_, size_}; }
    [[nodiscard]] std::span<const std::byte> span() const { return {data_, size_}; }
    [[nodiscard]] std::size_t size() const { return size_; }

private:
    std::byte* data_ = nullptr;
    std::size_t size_ = 0;
};

}  // namespace qsmpi::io
