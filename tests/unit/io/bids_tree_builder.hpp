#pragma once
#include <filesystem>
#include <numbers>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "nifti_bytes.hpp"
#include "qsmpi/io/bids.hpp"
#include "volumes.hpp"

namespace qsmpi::test
{

/// A small BIDS data set on disk, written without the code under test.
class BidsBuilder
{
public:
    [[nodiscard]] std::filesystem::path root() const { return folder_.path(); }

    void json(const std::string& relative, const nlohmann::json& content) const
    {
        write_bytes(root() / relative, content.dump());
    }
    void image(const std::string& relative, const NiftiSpec& spec, const std::vector<float>& voxels) const
    {
        const std::string bytes = nifti_file(spec, voxels);
        write_bytes(root() / relative, relative.ends_with(".gz") ? gzip_member(bytes) : bytes);
    }
    void integers(const std::string& relative, NiftiSpec spec, const std::vector<std::int16_t>& voxels) const
    {
        spec.datatype = 4;
        write_bytes(root() / relative, gzip_member(nifti_file(spec, voxels)));
    }
    void remove(const std::string& relative) const { std::filesystem::remove(root() / relative); }

    /// Values that reach low and high and vary in between.
    template <typename T = float>
    [[nodiscard]] static std::vector<T> ramp(double low, double high, std::size_t n = 60)
    {
        std::vector<T> out(n);
        for (std::size_t i = 0; i < n; ++i) {
            out[i] = static_cast<T>(low + (high - low) * static_cast<double>(i) / static_cast<double>(n - 1));
        }
        return out;
    }

    /// Magnitude and phase [rad] with sidecars:
    /// sub-<subject>/anat/sub-<subject>_<entities>echo-<e>_part-*_MEGRE.nii.gz.
    void scan(const std::string& subject, int n_echoes = 3, const std::string& entities = "",
              const std::string& session = "") const
    {
        for (int e = 1; e <= n_echoes; ++e) {
            for (const std::string part : {"mag", "phase"}) {
                const std::string base = name(subject, e, part, entities, session);
                const bool phase = part == "phase";
                image(base + ".nii.gz", {},
                      phase ? ramp(-std::numbers::pi, std::numbers::pi - 1e-3) : ramp(1, 100));
                nlohmann::json j{{"EchoTime", 0.005 * e}, {"MagneticFieldStrength", 3}};
                if (phase) j["Units"] = "rad";
                json(base + ".json", j);
            }
        }
    }
    [[nodiscard]] static std::string name(const std::string& subject, int echo, const std::string& part,
                                          const std::string& entities = "", const std::string& session = "")
    {
        const std::string ses = session.empty() ? "" : "ses-" + session;
        return "sub-" + subject + "/" + (ses.empty() ? "" : ses + "/") + "anat/sub-" + subject + "_" +
               (ses.empty() ? "" : ses + "_") + entities + "echo-" + std::to_string(echo) + "_part-" + part +
               "_MEGRE";
    }

private:
    TemporaryFolder folder_;
};

/// Images of sub-07, without extension.
inline std::string phase(int echo)
{
    return BidsBuilder::name("07", echo, "phase");
}
inline std::string mag(int echo)
{
    return BidsBuilder::name("07", echo, "mag");
}

/// Echo times of sub-07, which has three; null: none is written.
inline void set_times(const BidsBuilder& b, const std::vector<nlohmann::json>& times)
{
    for (int e = 1; e <= 3; ++e) {
        nlohmann::json j{{"EchoTime", times[static_cast<std::size_t>(e - 1)]},
                         {"MagneticFieldStrength", 3},
                         {"Units", "rad"}};
        if (j["EchoTime"].is_null()) j.erase("EchoTime");
        b.json(phase(e) + ".json", j);
        b.json(mag(e) + ".json", j);
    }
}

/// All lines of the findings of one severity, joined.
inline std::string lines_of(const std::vector<io::Finding>& findings,
                            io::Severity severity = io::Severity::error)
{
    std::string out;
    for (const io::Finding& f : findings) {
        if (f.severity == severity) out += f.line() + "\n";
    }
    return out;
}

inline const io::ImageDecision* decision_of(const io::ScanReport& report, const std::string& file)
{
    for (const io::ImageDecision& d : report.images) {
        if (d.file == file) return &d;
    }
    return nullptr;
}

}  // namespace qsmpi::test
