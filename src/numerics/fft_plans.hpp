#pragma once
#include <complex>
#include <cstddef>

#include <fftw3.h>

#include "qsmpi/core/volume.hpp"
#include "qsmpi/numerics/fft.hpp"

/// 1-D FFTW plans, each for one thread. Strides and batch sizes follow from the length alone, so wisdom does too.
namespace qsmpi::numerics::detail {

/// Rows that a plan along x transforms together.
inline constexpr std::size_t row_batch = 16;

/// Distance of the real rows of a batch, in floats: a multiple of 64 bytes.
[[nodiscard]] constexpr std::size_t real_pitch(std::size_t n)
{
    return (n + 15) / 16 * 16;
}
/// Distance of the half-complex rows of a batch, in complex numbers: a multiple of 64 bytes.
[[nodiscard]] constexpr std::size_t half_pitch(std::size_t n)
{
    return (n / 2 + 1 + 7) / 8 * 8;
}

enum class Effort {
    wisdom_or_estimate,  ///< never measures: deterministic for given wisdom
    measure,
    patient,
    wisdom_only  ///< fails when the wisdom in memory lacks the problem
};

/// Owner of one plan; empty when planning failed.
class Plan {
public:
    Plan() = default;
    explicit Plan(fftwf_plan plan) : plan_(plan) {}
    ~Plan();
    Plan(Plan&& other) noexcept : plan_(other.plan_) { other.plan_ = nullptr; }
    Plan& operator=(Plan&& other) noexcept;
    [[nodiscard]] fftwf_plan get() const { return plan_; }
    explicit operator bool() const { return plan_ != nullptr; }

private:
    fftwf_plan plan_ = nullptr;
};

/// Transforms of Tile::width interleaved columns of length n, in place.
struct ColumnPlans {
    Plan forward, backward;
};

/// Transforms between row_batch real and half-complex rows of length n, out of place; backward destroys its input.
struct RowPlans {
    Plan forward, backward;
};

/// @throws NumericalError if FFTW makes no plan (unless effort is wisdom_only: then plans are empty)
[[nodiscard]] ColumnPlans plan_columns(std::size_t n, Effort effort);
[[nodiscard]] RowPlans plan_rows(std::size_t n, Effort effort);

[[nodiscard]] inline fftwf_complex* fftw(std::complex<float>* p)
{
    return reinterpret_cast<fftwf_complex*>(p);
}

}  // namespace qsmpi::numerics::detail
