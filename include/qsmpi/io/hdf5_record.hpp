#pragma once
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "qsmpi/core/volume.hpp"
#include "qsmpi/io/geometry.hpp"

/// The record of a job: one HDF5 file with a group for each finished stage.
///
/// Layout, to be read by anything that reads HDF5: root attributes `format`, `program`, `key`, `affine` (3x4, world mm) and
/// `voxel_mm`; every group has `hash` (of all that its stage depended on) and `parameters` (JSON); every dataset is
/// (nz, ny, nx), x fastest, float32 or uint8, contiguous, with `units` and `xxh3` (hash of its bytes, checked on reading).
/// Not compressed: shuffle and deflate of level 1 write noise-like floats at a tenth of the speed of the disk cache,
/// and the thread that writes shares the cores with the stage that computes.
///
/// The parallel HDF5 library is not thread-safe. Read before a writer lives, and let one writer live at a time.
namespace qsmpi::io {

using SharedVolume = std::shared_ptr<const VolumeF>;
using SharedMask = std::shared_ptr<const Mask>;

/// Voxels of a map or of a mask: exactly one of the two is set.
struct RecordDataset {
    std::string name;
    std::string unit;    ///< "ppm", "Hz", "rad", "1"
    SharedVolume volume;
    SharedMask mask;
};

/// One finished stage.
struct RecordStage {
    std::string name;             ///< becomes the group
    std::string hash;
    std::string parameters_json;
    std::vector<RecordDataset> datasets;
};

/// Opens a finished record and checks what it gives out.
class RecordReader {
public:
    struct Stage {
        std::string hash, parameters_json;
    };
    /// @throws IoError if the file is missing, damaged or not a record
    explicit RecordReader(const std::filesystem::path& file);
    ~RecordReader();
    RecordReader(const RecordReader&) = delete;
    RecordReader& operator=(const RecordReader&) = delete;

    /// Hash and parameters of a stage, or nothing when the record lacks it.
    [[nodiscard]] std::optional<Stage> stage(const std::string& name) const;
    [[nodiscard]] bool has(const std::string& stage, const std::string& dataset) const;
    /// @param grid  the shape must fit the dataset
    /// @throws IoError if the dataset is missing, of another shape or type, or its bytes do not fit their hash
    [[nodiscard]] VolumeF read_volume(const std::string& stage, const std::string& dataset, const Grid& grid) const;
    [[nodiscard]] Mask read_mask(const std::string& stage, const std::string& dataset, const Grid& grid) const;

private:
    struct File;
    std::unique_ptr<File> file_;
};

/// Writes a record in a thread of its own under `<file>.tmp.<pid>`; only finish() gives it its name.
/// Queued volumes are shared, not copied, and let go as soon as they are on their way to disk.
class RecordWriter {
public:
    /// Returns at once; folders are made by the thread.
    RecordWriter(std::filesystem::path file, const Geometry& geometry, const std::string& key);
    /// Without finish(): drops what is queued and removes the temporary file.
    ~RecordWriter();
    RecordWriter(const RecordWriter&) = delete;
    RecordWriter& operator=(const RecordWriter&) = delete;

    /// Queues a copy of finished stages of an older record, as they are, up to the first that cannot be read.
    void copy(const std::filesystem::path& older, const std::vector<std::string>& stages);
    /// Queues a stage; never waits. After an error of the thread it does nothing: finish() tells.
    void add(RecordStage stage);
    /// Waits for the queue, closes, flushes to disk, renames. Call once.
    /// @throws IoError with the cause of whatever went wrong (disk full, permission); the temporary file is removed
    void finish();

private:
    struct Queue;
    std::unique_ptr<Queue> queue_;
};

}  // namespace qsmpi::io
