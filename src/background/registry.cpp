#include "qsmpi/background/registry.hpp"

#include <algorithm>

#include "qsmpi/core/suggest.hpp"

// One line for each method; x.cpp defines its row, x_method. The first is the default.
#define QSMPI_BACKGROUND_METHODS(row) \
    row(separation)                   \
    row(pdf)                          \
    row(vsharp)

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

std::vector<std::string> method_names()
{
    std::vector<std::string> names;
    for (const Method* m : methods()) names.emplace_back(m->name);
    return names;
}

const Method& method(std::string_view name)
{
    if (name == "default") return *methods().front();
    for (const Method* m : methods())
        if (m->name == name) return *m;
    const std::vector<std::string> names = method_names();
    std::string all;
    for (const std::string& n : names) all += (all.empty() ? "" : ", ") + n;
    const std::string near = nearest_word(name, names);
    throw InputError(str("background method '", name, "' is not one of ", all,
                         near.empty() ? "" : "; did you mean '" + near + "'?"));
}

}  // namespace qsmpi::background
