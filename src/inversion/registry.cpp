#include "qsmpi/inversion/registry.hpp"

#include "qsmpi/core/registry.hpp"

// One line for each method; x.cpp defines its row, x_method. The first is the default.
#define QSMPI_INVERSION_METHODS(row) \
    row(tv)                          \
    row(rts)                         \
    row(tkd)                         \
    row(nltv)                        \
    row(l1)                          \
    row(hdqsm)                       \
    row(whqsm)                       \
    row(star)                        \
    row(ndi)                         \
    row(tikhonov)                    \
    row(tsvd)                        \
    row(medi)                        \
    row(ilsqr)                       \
    row(tgv)                         \
    row(tfi)

namespace qsmpi::inversion {

#define QSMPI_DECLARE(name) extern const Method name##_method;
QSMPI_INVERSION_METHODS(QSMPI_DECLARE)
#undef QSMPI_DECLARE

std::span<const Method* const> methods()
{
#define QSMPI_ADDRESS(name) &name##_method,
    static constexpr const Method* table[] = {QSMPI_INVERSION_METHODS(QSMPI_ADDRESS)};
#undef QSMPI_ADDRESS
    return table;
}

std::vector<std::string> method_names() { return names_of(methods()); }

const Method& method(std::string_view name) { return find_row(methods(), name, "inversion"); }

}  // namespace qsmpi::inversion
