#include "qsmpi/core/parallel.hpp"

#include <algorithm>
#include <omp.h>

namespace qsmpi::parallel {

void set_threads(int n_threads) { omp_set_num_threads(std::max(1, n_threads)); }

int threads() { return omp_get_max_threads(); }

}  // namespace qsmpi::parallel
