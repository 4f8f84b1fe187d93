#pragma once
#include <sstream>
#include <stdexcept>
#include <string>

namespace qsmpi {

/// Concatenates anything streamable; GCC 12 has no std::format.
template <typename... Parts>
[[nodiscard]] std::string str(const Parts&... parts)
{
    std::ostringstream out;
    (out << ... << parts);
    return out.str();
}

/// Base of everything this library throws on purpose.
class Error : public std::runtime_error {
public:
    using std::runtime_error::runtime_error;
};

/// The data or the request is wrong: the user can repair it.
class InputError : public Error {
public:
    using Error::Error;
};

/// A file or a device failed: disk full, permission, truncated read.
class IoError : public Error {
public:
    using Error::Error;
};

/// A computation left its domain: no convergence, overflow, NaN.
class NumericalError : public Error {
public:
    using Error::Error;
};

/// Another process went away or spoke nonsense.
class CommError : public Error {
public:
    using Error::Error;
};

/// Throws InputError with `message` unless `condition` holds.
inline void require(bool condition, const std::string& message)
{
    if (!condition) throw InputError(message);
}

[[noreturn]] void assertion_failed(const char* expression, const char* file, int line);

}  // namespace qsmpi

/// Our own bug if it fails; on in every build.
#define QSMPI_ASSERT(expression) \
    ((expression) ? static_cast<void>(0) : ::qsmpi::assertion_failed(#expression, __FILE__, __LINE__))

#ifdef QSMPI_ENABLE_DEBUG_ASSERT
#define QSMPI_DEBUG_ASSERT(expression) QSMPI_ASSERT(expression)
#else
#define QSMPI_DEBUG_ASSERT(expression) static_cast<void>(0)
#endif
