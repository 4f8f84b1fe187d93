#pragma once
#include <string>
#include <utility>

#include <hdf5.h>

namespace qsmpi::io {

/// What the HDF5 library says about its last failure: the innermost entry, which names the cause.
[[nodiscard]] std::string hdf5_error_text();

/// Stops HDF5 from printing its error stack and from cleaning up at exit (a full disk makes that loop).
void quiet_hdf5();

/// Owner of an HDF5 identifier. @throws IoError when made from a failed call
class Hdf5Handle {
public:
    using Closer = herr_t (*)(hid_t);
    Hdf5Handle() = default;
    Hdf5Handle(hid_t id, Closer closer, const std::string& what);
    Hdf5Handle(Hdf5Handle&& other) noexcept
        : id_(std::exchange(other.id_, H5I_INVALID_HID)), closer_(other.closer_)
    {
    }
    Hdf5Handle& operator=(Hdf5Handle&& other) noexcept
    {
        std::swap(id_, other.id_);
        std::swap(closer_, other.closer_);
        return *this;
    }
    ~Hdf5Handle()
    {
        if (id_ >= 0) closer_(id_);
    }
    /// Closes now. @throws IoError if that fails, for closing writes
    void close(const std::string& what);
    operator hid_t() const { return id_; }

private:
    hid_t id_ = H5I_INVALID_HID;
    Closer closer_ = nullptr;
};

/// @throws IoError "<what>: <cause>" for a negative status
void check_hdf5(herr_t status, const std::string& what);

void write_text_attribute(hid_t object, const char* name, const std::string& text);
[[nodiscard]] std::string read_text_attribute(hid_t object, const char* name);

}  // namespace qsmpi::io
