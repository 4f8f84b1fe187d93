#include "fft_plans.hpp"

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <memory>
#include <mutex>
#include <string>

#include <unistd.h>

#include "qsmpi/core/error.hpp"

namespace qsmpi::numerics {
namespace detail {
namespace {

// FFTW's planner, its wisdom and the destruction of plans are not thread-safe; execution is.
std::mutex& planner()
{
    static std::mutex mutex;
    return mutex;
}

/// `make(flags)` under the planner's lock: from wisdom first, then as `effort` allows.
template <typename Make>
Plan plan_with(Effort effort, std::size_t n, Make&& make)
{
    const std::lock_guard lock(planner());
    fftwf_plan plan = nullptr;
    if (effort == Effort::wisdom_or_estimate || effort == Effort::wisdom_only)
        plan = make(FFTW_MEASURE | FFTW_WISDOM_ONLY);  // wisdom of more patient planning serves too
    if (effort == Effort::measure) plan = make(FFTW_MEASURE);
    if (effort == Effort::patient) plan = make(FFTW_PATIENT);
    if (plan == nullptr && effort == Effort::wisdom_or_estimate) plan = make(FFTW_ESTIMATE);
    if (plan == nullptr && effort != Effort::wisdom_only)
        throw NumericalError(str("fft: FFTW made no plan for length ", n));
    return Plan(plan);
}

int as_int(std::size_t n)
{
    require(n > 0 && n <= 1U << 20, str("fft: length ", n, " is outside 1 to 1048576"));
    return static_cast<int>(n);
}

}  // namespace

Plan::~Plan()
{
    if (plan_ == nullptr) return;
    const std::lock_guard lock(planner());
    fftwf_destroy_plan(plan_);
}

Plan& Plan::operator=(Plan&& other) noexcept
{
    std::swap(plan_, other.plan_);
    return *this;
}

ColumnPlans plan_columns(std::size_t n, Effort effort)
{
    const int length = as_int(n);
    constexpr int width = static_cast<int>(Tile::width);
    AlignedBuffer<std::complex<float>> buffer(n * Tile::width);
    fftwf_complex* data = fftw(buffer.data());
    const auto make = [&](int sign) {
        return plan_with(effort, n, [&](unsigned flags) {
            return fftwf_plan_many_dft(1, &length, width, data, nullptr, width, 1, data, nullptr, width, 1,
                                       sign, flags);
        });
    };
    return {make(FFTW_FORWARD), make(FFTW_BACKWARD)};
}

RowPlans plan_rows(std::size_t n, Effort effort)
{
    const int length = as_int(n);
    const int real_distance = static_cast<int>(real_pitch(n));
    const int half_distance = static_cast<int>(half_pitch(n));
    AlignedBuffer<float> real(row_batch * real_pitch(n));
    AlignedBuffer<std::complex<float>> half(row_batch * half_pitch(n));
    constexpr int batch = static_cast<int>(row_batch);
    return {plan_with(effort, n,
                      [&](unsigned flags) {
                          return fftwf_plan_many_dft_r2c(1, &length, batch, real.data(), nullptr, 1,
                                                         real_distance, fftw(half.data()), nullptr, 1,
                                                         half_distance, flags);
                      }),
            plan_with(effort, n, [&](unsigned flags) {
                return fftwf_plan_many_dft_c2r(1, &length, batch, fftw(half.data()), nullptr, 1,
                                               half_distance, real.data(), nullptr, 1, real_distance, flags);
            })};
}

}  // namespace detail

std::size_t good_length(std::size_t n)
{
    const auto is_good = [](std::size_t m) {
        if (m % 7 == 0) m /= 7;
        for (const std::size_t factor : {2U, 3U, 5U})
            while (m % factor == 0) m /= factor;
        return m == 1;
    };
    std::size_t length = n < 2 ? 2 : n + n % 2;
    while (!is_good(length)) length += 2;
    return length;
}

std::size_t plan_lengths(std::size_t shortest, std::size_t longest, PlanSearch search)
{
    const auto effort = search == PlanSearch::patient ? detail::Effort::patient : detail::Effort::measure;
    std::size_t measured = 0;
    for (std::size_t n = good_length(shortest); n <= longest; n = good_length(n + 1)) {
        const auto columns = detail::plan_columns(n, detail::Effort::wisdom_only);
        const auto rows = detail::plan_rows(n, detail::Effort::wisdom_only);
        if (columns.forward && columns.backward && rows.forward && rows.backward) continue;
        [[maybe_unused]] const auto new_columns = detail::plan_columns(n, effort);
        [[maybe_unused]] const auto new_rows = detail::plan_rows(n, effort);
        ++measured;
    }
    return measured;
}

bool load_wisdom(const std::filesystem::path& file)
{
    struct Close {
        void operator()(std::FILE* f) const { std::fclose(f); }
    };
    const std::unique_ptr<std::FILE, Close> in(std::fopen(file.c_str(), "r"));
    const auto fail = [&] {
        throw IoError(str("FFT wisdom ", file.string(), " cannot be read: ", std::strerror(errno)));
    };
    if (!in) {
        if (errno == ENOENT || errno == ENOTDIR) return false;
        fail();
    }
    const std::lock_guard lock(detail::planner());
    const bool accepted = fftwf_import_wisdom_from_file(in.get()) != 0;
    if (std::ferror(in.get()) != 0) fail();
    return accepted;
}

void save_wisdom(const std::filesystem::path& file)
{
    const std::string temporary = str(file.string(), ".tmp.", ::getpid());
    const auto fail = [&](const char* what) {
        const std::string cause = std::strerror(errno);
        std::remove(temporary.c_str());
        throw IoError(str("FFT wisdom ", file.string(), " cannot be ", what, ": ", cause));
    };
    std::FILE* out = std::fopen(temporary.c_str(), "w");
    if (out == nullptr) fail("written");
    {
        const std::lock_guard lock(detail::planner());
        fftwf_export_wisdom_to_file(out);
    }
    const bool flushed = std::fflush(out) == 0 && ::fsync(::fileno(out)) == 0;
    const bool closed = std::fclose(out) == 0;
    if (!flushed || !closed) fail("written");
    if (std::rename(temporary.c_str(), file.c_str()) != 0) fail("renamed");
}

}  // namespace qsmpi::numerics
