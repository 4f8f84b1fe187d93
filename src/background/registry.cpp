#include "qsmpi/background/registry.hpp"

#include "qsmpi/core/registry.hpp"

// One line for each method; x.cpp defines its row, x_method. The first is the default.
#define QSMPI_BACKGROUND_METHODS(row) \
    row(separation)                   \
    row(pdf)                          \
    row(vsharp)                       \
    row(resharp)                      \
    row(ismv)                         \
    row(lbv)                          \
    row(sharp)                        \
    row(none)

namespace qsmpi::background {

#define QSMPI_DECLARE(name) extern const Method name##_method;
QSMPI_BACKGROUND_METHODS(QSMPI_DECLARE)
#undef QSMPI_DECLARE

std::span<const Method* const> methods()
{
#define QSMPI_ADDRESS(name) &name##_method,
    static constexpr const Method* table[] = {QSMPI_BACKGROUND_METHODS(QSMPI_ADDRESS)};
#undef QSMPI_ADDRESS
    return table;
}

std::vector<std::string> method_names() { return names_of(methods()); }

const Method& method(std::string_view name) { return find_row(methods(), name, "background method"); }

}  // namespace qsmpi::background
