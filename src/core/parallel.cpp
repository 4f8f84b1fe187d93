#include "qsmpi/core/parallel.hpp"

#include <algorithm>
#include <omp.h>

namespace qsmpi::parallel {

// More than any machine has: the runtime crashes at some 100,000.
constexpr int most_threads = 1024;

void set_threads(int n_threads) { omp_set_num_threads(std::clamp(n_threads, 1, most_threads)); }

int threads() { return omp_get_max_threads(); }

}  // namespace qsmpi::parallel
