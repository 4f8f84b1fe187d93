#include "qsmpi/core/error.hpp"

#include <cstdio>
#include <cstdlib>

namespace qsmpi {

void assertion_failed(const char* expression, const char* file, int line)
{
    std::fprintf(stderr, "qsmpi: internal error: %s (%s:%d). Please report this.\n", expression, file, line);
    std::abort();
}

}  // namespace qsmpi
