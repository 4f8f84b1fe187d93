#include "hdf5_handle.hpp"

#include <string_view>

#include "qsmpi/core/error.hpp"

namespace qsmpi::io {

std::string hdf5_error_text()
{
    std::string text;
    // Downward: from the call we made to the innermost function; system calls add "errno = .., error message = '..'".
    const auto collect = [](unsigned, const H5E_error2_t* entry, void* out) -> herr_t {
        auto& result = *static_cast<std::string*>(out);
        const std::string_view description = entry->desc != nullptr ? entry->desc : "";
        if (!description.empty() && result.find("error message") == std::string::npos) result = description;
        return 0;
    };
    H5Ewalk2(H5E_DEFAULT, H5E_WALK_DOWNWARD, collect, &text);
    constexpr std::string_view marker = "error message = '";
    if (const auto begin = text.find(marker); begin != std::string::npos) {
        const auto end = text.find('\'', begin + marker.size());
        text = text.substr(begin + marker.size(), end - begin - marker.size());
    }
    return text.empty() ? "unknown HDF5 error" : text;
}

void quiet_hdf5()
{
    H5dont_atexit();
    H5Eset_auto2(H5E_DEFAULT, nullptr, nullptr);
}

Hdf5Handle::Hdf5Handle(hid_t id, Closer closer, const std::string& what) : id_(id), closer_(closer)
{
    if (id < 0) throw IoError(str(what, ": ", hdf5_error_text()));
}

void Hdf5Handle::close(const std::string& what)
{
    const hid_t id = std::exchange(id_, H5I_INVALID_HID);
    if (id >= 0) check_hdf5(closer_(id), what);
}

void check_hdf5(herr_t status, const std::string& what)
{
    if (status < 0) throw IoError(str(what, ": ", hdf5_error_text()));
}

void write_text_attribute(hid_t object, const char* name, const std::string& text)
{
    const std::string what = str("attribute ", name);
    const Hdf5Handle type(H5Tcopy(H5T_C_S1), H5Tclose, what);
    check_hdf5(H5Tset_size(type, text.empty() ? 1 : text.size()), what);
    check_hdf5(H5Tset_strpad(type, H5T_STR_NULLPAD), what);
    const Hdf5Handle space(H5Screate(H5S_SCALAR), H5Sclose, what);
    const Hdf5Handle attribute(H5Acreate2(object, name, type, space, H5P_DEFAULT, H5P_DEFAULT), H5Aclose, what);
    check_hdf5(H5Awrite(attribute, type, text.c_str()), what);
}

std::string read_text_attribute(hid_t object, const char* name)
{
    const std::string what = str("attribute ", name);
    const Hdf5Handle attribute(H5Aopen(object, name, H5P_DEFAULT), H5Aclose, what);
    const Hdf5Handle type(H5Aget_type(attribute), H5Tclose, what);
    if (H5Tget_class(type) != H5T_STRING || H5Tis_variable_str(type) > 0) throw IoError(str(what, " is not text"));
    std::string text(H5Tget_size(type), '\0');
    check_hdf5(H5Aread(attribute, type, text.data()), what);
    while (!text.empty() && text.back() == '\0') text.pop_back();
    return text;
}

}  // namespace qsmpi::io
