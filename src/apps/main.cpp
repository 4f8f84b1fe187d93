#include <cstdio>

#include "qsmpi/core/version.hpp"

int main()
{
    std::printf("qsmpi %s (%s)\n", qsmpi::version(), qsmpi::commit());
    return 0;
}
