#pragma once
#include <cstddef>
#include <exception>
#include <vector>

/// Threads inside one job. Every result must be the same bits for any thread count: loops write disjoint
/// elements, and sums are taken over blocks of fixed size and then added in block order.
namespace qsmpi::parallel {

/// Sets the threads of this process (OpenMP); at least 1.
void set_threads(int n_threads);
[[nodiscard]] int threads();

/// Calls body(i) for i in [0, n), statically divided. The first exception is rethrown after the loop.
template <typename Body>
void for_each(std::size_t n, Body&& body)
{
    std::exception_ptr error;
#pragma omp parallel for schedule(static) if (n > 1)
    for (std::size_t i = 0; i < n; ++i) {
        try {
            body(i);
        } catch (...) {
#pragma omp critical(qsmpi_parallel_error)
            if (!error) error = std::current_exception();
        }
    }
    if (error) std::rethrow_exception(error);
}

/// As for_each, but threads fetch the next index when free (uneven work).
template <typename Body>
void for_each_dynamic(std::size_t n, Body&& body)
{
    std::exception_ptr error;
#pragma omp parallel for schedule(dynamic, 1) if (n > 1)
    for (std::size_t i = 0; i < n; ++i) {
        try {
            body(i);
        } catch (...) {
#pragma omp critical(qsmpi_parallel_error)
            if (!error) error = std::current_exception();
        }
    }
    if (error) std::rethrow_exception(error);
}

inline constexpr std::size_t block_size = 1 << 15;

/// Calls body(begin, end) over blocks of fixed size covering [0, n): the vectorisable form of for_each.
template <typename Body>
void for_blocks(std::size_t n, Body&& body)
{
    for_each((n + block_size - 1) / block_size, [&](std::size_t b) {
        const std::size_t begin = b * block_size;
        body(begin, begin + block_size < n ? begin + block_size : n);
    });
}

/// Sum of body(begin, end) -> T over blocks of fixed size, added in block order: independent of the threads.
/// T needs a zero-initialising default constructor and operator+=.
template <typename T, typename Body>
[[nodiscard]] T sum_blocks(std::size_t n, Body&& body)
{
    const std::size_t n_blocks = (n + block_size - 1) / block_size;
    std::vector<T> partial(n_blocks);
    for_each(n_blocks, [&](std::size_t b) {
        const std::size_t begin = b * block_size;
        partial[b] = body(begin, begin + block_size < n ? begin + block_size : n);
    });
    T total{};
    for (const T& p : partial) total += p;
    return total;
}

}  // namespace qsmpi::parallel
