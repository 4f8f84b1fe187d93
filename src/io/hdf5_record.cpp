#include "qsmpi/io/hdf5_record.hpp"

#include <array>
#include <condition_variable>
#include <deque>
#include <exception>
#include <functional>
#include <mutex>
#include <system_error>
#include <thread>

#include <unistd.h>

#include "hdf5_handle.hpp"
#include "qsmpi/core/hash.hpp"
#include "qsmpi/core/version.hpp"
#include "qsmpi/io/file.hpp"

namespace qsmpi::io {
namespace {

namespace fs = std::filesystem;
constexpr const char* record_format = "qsmpi-record-1";

std::string hash_of_bytes(const void* data, std::size_t bytes)
{
    Hasher hasher;
    hasher.add(data, bytes);
    return hasher.hex();
}

// Object times would make equal runs write different bytes.
Hdf5Handle timeless(hid_t property_class)
{
    Hdf5Handle properties(H5Pcreate(property_class), H5Pclose, "property list");
    check_hdf5(H5Pset_obj_track_times(properties, false), "property list");
    return properties;
}

void write_doubles(hid_t object, const char* name, const std::vector<hsize_t>& shape, const double* values)
{
    const std::string what = str("attribute ", name);
    const Hdf5Handle space(H5Screate_simple(static_cast<int>(shape.size()), shape.data(), nullptr), H5Sclose, what);
    const Hdf5Handle attribute(
        H5Acreate2(object, name, H5T_IEEE_F64LE, space, H5P_DEFAULT, H5P_DEFAULT), H5Aclose, what);
    check_hdf5(H5Awrite(attribute, H5T_NATIVE_DOUBLE, values), what);
}

template <typename T>
void write_voxels(hid_t group, const std::string& name, const std::string& unit, const Volume<T>& volume)
{
    constexpr bool is_float = std::is_same_v<T, float>;
    const std::string what = str("writing ", name);
    const std::array<hsize_t, 3> shape{volume.dims().nz, volume.dims().ny, volume.dims().nx};
    const Hdf5Handle space(H5Screate_simple(3, shape.data(), nullptr), H5Sclose, what);
    const Hdf5Handle properties = timeless(H5P_DATASET_CREATE);
    check_hdf5(H5Pset_fill_time(properties, H5D_FILL_TIME_NEVER), what);
    const Hdf5Handle dataset(H5Dcreate2(group, name.c_str(), is_float ? H5T_IEEE_F32LE : H5T_STD_U8LE, space,
                                        H5P_DEFAULT, properties, H5P_DEFAULT),
                             H5Dclose, what);
    write_text_attribute(dataset, "units", unit);
    write_text_attribute(dataset, "xxh3", hash_of_bytes(volume.data(), volume.size() * sizeof(T)));
    check_hdf5(H5Dwrite(dataset, is_float ? H5T_NATIVE_FLOAT : H5T_NATIVE_UINT8, H5S_ALL, H5S_ALL, H5P_DEFAULT,
                        volume.data()),
               what);
}

template <typename T>
Volume<T> read_voxels(hid_t file, const fs::path& path, const std::string& name, const Grid& grid)
{
    constexpr bool is_float = std::is_same_v<T, float>;
    const std::string what = str(path.string(), ": ", name);
    const Hdf5Handle dataset(H5Dopen2(file, name.c_str(), H5P_DEFAULT), H5Dclose, what);
    const Hdf5Handle space(H5Dget_space(dataset), H5Sclose, what);
    const Hdf5Handle type(H5Dget_type(dataset), H5Tclose, what);
    std::array<hsize_t, 3> shape{};
    const bool fits = H5Sget_simple_extent_ndims(space) == 3 &&
                      H5Sget_simple_extent_dims(space, shape.data(), nullptr) == 3 &&
                      shape == std::array<hsize_t, 3>{grid.dims.nz, grid.dims.ny, grid.dims.nx} &&
                      H5Tequal(type, is_float ? H5T_IEEE_F32LE : H5T_STD_U8LE) > 0;
    if (!fits) throw IoError(str(what, " has another shape or type than expected"));
    Volume<T> volume(grid);
    check_hdf5(H5Dread(dataset, is_float ? H5T_NATIVE_FLOAT : H5T_NATIVE_UINT8, H5S_ALL, H5S_ALL, H5P_DEFAULT,
                       volume.data()),
               what);
    if (read_text_attribute(dataset, "xxh3") != hash_of_bytes(volume.data(), volume.size() * sizeof(T)))
        throw IoError(str(what, " is damaged: its voxels do not fit their hash"));
    return volume;
}

Hdf5Handle open_for_reading(const fs::path& path)
{
    quiet_hdf5();
    const std::string what = str("cannot open the record ", path.string());
    const Hdf5Handle access(H5Pcreate(H5P_FILE_ACCESS), H5Pclose, what);
    check_hdf5(H5Pset_file_locking(access, false, true), what);
    return Hdf5Handle(H5Fopen(path.c_str(), H5F_ACC_RDONLY, access), H5Fclose, what);
}

}  // namespace

struct RecordReader::File {
    fs::path path;
    Hdf5Handle handle;
};

RecordReader::RecordReader(const fs::path& file)
    : file_(std::make_unique<File>(File{file, open_for_reading(file)}))
{
    if (read_text_attribute(file_->handle, "format") != record_format)
        throw IoError(str(file.string(), " is a record of another format than ", record_format));
}

RecordReader::~RecordReader() = default;

std::optional<RecordReader::Stage> RecordReader::stage(const std::string& name) const
{
    if (H5Lexists(file_->handle, name.c_str(), H5P_DEFAULT) <= 0) return std::nullopt;
    const Hdf5Handle group(H5Gopen2(file_->handle, name.c_str(), H5P_DEFAULT), H5Gclose, name);
    return Stage{read_text_attribute(group, "hash"), read_text_attribute(group, "parameters")};
}

bool RecordReader::has(const std::string& stage, const std::string& dataset) const
{
    const auto exists = [&](const std::string& name) {
        const htri_t found = H5Lexists(file_->handle, name.c_str(), H5P_DEFAULT);
        check_hdf5(found, str(file_->path.string(), ": ", name));
        return found > 0;
    };
    return exists(stage) && exists(str(stage, "/", dataset));
}

VolumeF RecordReader::read_volume(const std::string& stage, const std::string& dataset, const Grid& grid) const
{
    return read_voxels<float>(file_->handle, file_->path, str(stage, "/", dataset), grid);
}

Mask RecordReader::read_mask(const std::string& stage, const std::string& dataset, const Grid& grid) const
{
    return read_voxels<std::uint8_t>(file_->handle, file_->path, str(stage, "/", dataset), grid);
}

struct RecordWriter::Queue {
    fs::path final_name, temporary;
    std::mutex mutex;
    std::condition_variable changed;
    std::deque<std::function<void(hid_t)>> tasks;
    bool closing = false;
    bool abandoned = false;
    std::exception_ptr error;
    std::thread thread;

    void push(std::function<void(hid_t)> task)
    {
        {
            const std::lock_guard lock(mutex);
            if (error) return;
            tasks.push_back(std::move(task));
        }
        changed.notify_one();
    }

    void work(const Geometry& geometry, const std::string& key)
    {
        try {
            Hdf5Handle file = create(geometry, key);
            while (true) {
                std::unique_lock lock(mutex);
                changed.wait(lock, [&] { return closing || !tasks.empty(); });
                if (abandoned || tasks.empty()) break;
                const auto task = std::move(tasks.front());
                tasks.pop_front();
                lock.unlock();
                task(file);
            }
            file.close("closing");
        } catch (...) {
            const std::lock_guard lock(mutex);
            error = std::current_exception();
            tasks.clear();
        }
    }

    Hdf5Handle create(const Geometry& geometry, const std::string& key) const
    {
        quiet_hdf5();
        std::error_code code;
        fs::create_directories(temporary.parent_path(), code);
        if (code) throw IoError(str("making the folder: ", code.message()));
        const Hdf5Handle access(H5Pcreate(H5P_FILE_ACCESS), H5Pclose, "creating");
        // The name carries our process id, and locks fail on some cluster file systems.
        check_hdf5(H5Pset_file_locking(access, false, true), "creating");
        const Hdf5Handle creation = timeless(H5P_FILE_CREATE);
        Hdf5Handle file(H5Fcreate(temporary.c_str(), H5F_ACC_TRUNC, creation, access), H5Fclose, "creating");
        write_text_attribute(file, "format", record_format);
        write_text_attribute(file, "program", str("qsmpi ", version()));
        write_text_attribute(file, "key", key);
        const auto affine = geometry.affine();
        write_doubles(file, "affine", {3, 4}, affine.front().data());
        write_doubles(file, "voxel_mm", {3}, geometry.grid.voxel_mm.data());
        return file;
    }
};

RecordWriter::RecordWriter(fs::path file, const Geometry& geometry, const std::string& key)
    : queue_(std::make_unique<Queue>())
{
    queue_->temporary = file.string() + str(".tmp.", getpid());
    queue_->final_name = std::move(file);
    queue_->thread = std::thread([queue = queue_.get(), geometry, key] { queue->work(geometry, key); });
}

RecordWriter::~RecordWriter()
{
    if (!queue_->thread.joinable()) return;
    {
        const std::lock_guard lock(queue_->mutex);
        queue_->closing = queue_->abandoned = true;
    }
    queue_->changed.notify_one();
    queue_->thread.join();
    std::error_code ignored;
    fs::remove(queue_->temporary, ignored);
}

void RecordWriter::copy(const fs::path& older, const std::vector<std::string>& stages)
{
    queue_->push([older, stages](hid_t file) {
        const Hdf5Handle source = open_for_reading(older);
        for (const std::string& stage : stages) {
            if (H5Ocopy(source, stage.c_str(), file, stage.c_str(), H5P_DEFAULT, H5P_DEFAULT) >= 0) continue;
            // The older record is damaged here, and this one does without: the stage will be run again some day.
            // If it was the new file that failed, the next write fails too.
            H5Ldelete(file, stage.c_str(), H5P_DEFAULT);
            return;
        }
    });
}

void RecordWriter::add(RecordStage stage)
{
    for (const RecordDataset& d : stage.datasets) QSMPI_ASSERT((d.volume != nullptr) != (d.mask != nullptr));
    queue_->push([shared = std::make_shared<RecordStage>(std::move(stage))](hid_t file) {
        const Hdf5Handle properties = timeless(H5P_GROUP_CREATE);
        const Hdf5Handle group(H5Gcreate2(file, shared->name.c_str(), H5P_DEFAULT, properties, H5P_DEFAULT), H5Gclose,
                               str("writing ", shared->name));
        write_text_attribute(group, "parameters", shared->parameters_json);
        write_text_attribute(group, "hash", shared->hash);
        for (RecordDataset& d : shared->datasets) {
            if (d.volume) write_voxels(group, d.name, d.unit, *d.volume);
            if (d.mask) write_voxels(group, d.name, d.unit, *d.mask);
            d = {};
        }
    });
}

void RecordWriter::finish()
{
    {
        const std::lock_guard lock(queue_->mutex);
        queue_->closing = true;
    }
    queue_->changed.notify_one();
    queue_->thread.join();
    try {
        if (queue_->error) std::rethrow_exception(queue_->error);
        publish(queue_->temporary, queue_->final_name);
    } catch (const std::exception& e) {
        std::error_code ignored;
        fs::remove(queue_->temporary, ignored);
        throw IoError(str("cannot write the record ", queue_->final_name.string(), ": ", e.what()));
    }
}

}  // namespace qsmpi::io
