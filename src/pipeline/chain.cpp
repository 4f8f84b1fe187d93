// Runs the stages of one job: what the record already holds is loaded, the rest is computed and recorded.
#include "chain.hpp"

#include <algorithm>
#include <chrono>
#include <fstream>
#include <new>

#include <malloc.h>

#include "qsmpi/core/log.hpp"
#include "qsmpi/core/parallel.hpp"
#include "qsmpi/numerics/fft.hpp"
#include "registries.hpp"

namespace qsmpi::pipeline {
namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

// The high-water mark of this process image. Not getrusage: that one is inherited through exec.
double peak_resident_mb()
{
    std::ifstream status("/proc/self/status");
    for (std::string word; status >> word;)
        if (word == "VmHWM:") {
            double kib = 0.0;
            status >> kib;
            return kib * 1024.0 / 1e6;
        }
    return 0.0;
}

std::string parameters_of(const Stage& stage, const Chain& chain)
{
    const nlohmann::json options = resolved(chain.spec.options);
    nlohmann::json own = nlohmann::json::object();
    for (const std::string& name : stage.options) own[name] = options.at(name);
    nlohmann::json parameters{{"options", std::move(own)}, {"depends_on", stage.facts(chain.spec)}};
    if (chain.notes.contains(stage.name)) parameters["notes"] = chain.notes.at(stage.name);
    return parameters.dump();
}

void enqueue(io::RecordWriter& writer, const Stage& stage, const std::string& hash, Chain& chain)
{
    io::RecordStage group{.name = stage.name, .hash = hash, .parameters_json = parameters_of(stage, chain), .datasets = {}};
    for (const Product& p : stage.products(chain)) {
        if (p.optional && (p.volume ? *p.volume == nullptr : *p.mask == nullptr)) continue;
        group.datasets.push_back({.name = p.name,
                                  .unit = p.unit,
                                  .volume = p.volume ? *p.volume : nullptr,
                                  .mask = p.mask ? *p.mask : nullptr});
    }
    writer.add(std::move(group));
}

bool needed_from(const Product& product, std::size_t first)
{
    if (product.last_use.empty()) return true;
    const auto& table = stage_table();
    for (std::size_t i = first; i < table.size(); ++i)
        if (product.last_use == table[i].name) return true;
    return false;
}

/// Loads what later stages need from the record and returns the index of the first stage to run.
std::size_t load_finished_stages(Chain& chain, const fs::path& record, const std::vector<std::string>& hashes)
{
    std::error_code missing;
    if (!fs::exists(record, missing)) return 0;
    const auto& table = stage_table();
    const io::RecordReader reader(record);
    std::size_t first = 0;
    for (; first < table.size(); ++first) {
        const auto found = reader.stage(table[first].name);
        if (!found || found->hash != hashes[first]) break;
        const auto parameters = nlohmann::json::parse(found->parameters_json, nullptr, false);
        if (parameters.contains("notes")) chain.notes[table[first].name] = parameters.at("notes");
    }
    // A stage cannot start from the record if the one before it leaves more than the record keeps.
    while (first > 0 && first < table.size() && table[first - 1].transient) --first;
    for (std::size_t i = first; i < table.size(); ++i) chain.notes.erase(table[i].name);

    for (std::size_t i = 0; i < first; ++i)
        for (const Product& p : table[i].products(chain)) {
            const bool needed = needed_from(p, first);
            if (!needed || (p.optional && !reader.has(table[i].name, p.name))) continue;
            if (p.volume)
                *p.volume = std::make_shared<VolumeF>(reader.read_volume(table[i].name, p.name, chain.grid()));
            if (p.mask) *p.mask = std::make_shared<Mask>(reader.read_mask(table[i].name, p.name, chain.grid()));
        }
    return first;
}

/// Reads what was let go and is an output.
void load_published(Chain& chain, const fs::path& record)
{
    std::optional<io::RecordReader> reader;
    for (const Stage& stage : stage_table())
        for (const Product& p : stage.products(chain)) {
            if (!p.published || *p.volume != nullptr) continue;
            if (!reader) reader.emplace(record);
            if (!reader->stage(stage.name)) throw IoError(str(record.string(), ": stage ", stage.name, " is missing"));
            if (reader->has(stage.name, p.name))
                *p.volume = std::make_shared<VolumeF>(reader->read_volume(stage.name, p.name, chain.grid()));
        }
}

/// One job from its start to its published outputs; stage() tells where it is when something is thrown.
class JobRun {
public:
    JobRun(const JobSpec& spec, const StageObserver& observe)
        : spec_(spec),
          observe_(observe),
          hashes_(stage_hashes(spec)),
          record_(spec.output_dir / "intermediates" / (spec.acquisition.key + ".h5")),
          chain_(spec)
    {
    }

    void run(JobResult& result)
    {
        if (auto warnings = spec_.force ? std::nullopt : warnings_of_outputs(spec_, job_hash(spec_))) {
            result.state = "skipped";
            result.warnings = *std::move(warnings);
            return;
        }
        prepare();
        const std::size_t first = load();
        compute(first, result);
        if (!published_are_sound(first)) {
            compute(0, result);
            load_published(chain_, record_);
        }
        timed("publish", 1.0, result, [&] { publish_outputs(chain_, job_hash(spec_)); });
        result.warnings = spec_.acquisition.warnings;
        const Account account = account_of(chain_, [](const std::string&) { return true; }, stage_table().back().name);
        for (const auto& warning : account.warnings) result.warnings.push_back(warning.get<std::string>());
    }

    [[nodiscard]] const std::string& stage() const { return chain_.stage; }

private:
    void prepare() const
    {
        // Volumes go back to the system when they are let go. By default the allocator keeps blocks of up to 32 MiB for later,
        // and the memory of early stages would count against late ones.
        mallopt(M_MMAP_THRESHOLD, 1 << 20);
        parallel::set_threads(std::max(1, spec_.threads));
        std::error_code missing;
        if (!spec_.wisdom_file.empty() && fs::exists(spec_.wisdom_file, missing))
            numerics::load_wisdom(spec_.wisdom_file);
    }

    std::size_t load()
    {
        chain_.stage = "load";
        if (spec_.force) return 0;
        std::size_t first = 0;
        try {
            first = load_finished_stages(chain_, record_, hashes_);
        } catch (const IoError& e) {
            log::warn(str("the record is damaged and made again: ", e.what()));
        } catch (const nlohmann::json::exception& e) {
            log::warn(str("the record is damaged and made again: ", e.what()));
        }
        if (first > 0) log::info(str(first, " stages taken from ", record_.string()));
        return first;
    }

    /// Loads them. What an earlier run recorded may be damaged, and only they are looked at so late.
    bool published_are_sound(std::size_t first)
    {
        try {
            load_published(chain_, record_);
        } catch (const IoError& e) {
            if (first == 0) throw;
            log::warn(str("the record is damaged and made again: ", e.what()));
            return false;
        }
        return true;
    }

    void compute(std::size_t first, JobResult& result)
    {
        const auto& table = stage_table();
        if (first == table.size()) return;
        if (first == 0) chain_.restart();
        io::RecordWriter writer(record_, spec_.acquisition.geometry, spec_.acquisition.key);
        std::vector<std::string> finished;
        for (std::size_t i = 0; i < first; ++i) finished.emplace_back(table[i].name);
        if (!finished.empty()) writer.copy(record_, finished);
        try {
            double done = 0.0;
            for (std::size_t i = 0; i < table.size(); done += table[i].share, ++i) {
                if (i < first) continue;
                timed(table[i].name, done, result, [&] { table[i].run(chain_); });
                enqueue(writer, table[i], hashes_[i], chain_);
                let_go(chain_, table[i].name);
            }
        } catch (...) {
            keep_finished_stages(writer);
            throw;
        }
        timed("record", 1.0, result, [&] { writer.finish(); });
    }

    // The failure that is on its way matters more than a record that cannot be written.
    static void keep_finished_stages(io::RecordWriter& writer)
    {
        try {
            writer.finish();
        } catch (const Error& e) {
            log::warn(e.what());
        }
    }

    template <typename Body>
    void timed(const char* name, double done, JobResult& result, Body&& body)
    {
        chain_.stage = name;
        log::set_context(str("job=", spec_.acquisition.key, " stage=", name));
        if (observe_) observe_(name, done);
        inject_fault(name, spec_.acquisition.key);
        const Clock::time_point start = Clock::now();
        body();
        result.stage_seconds.emplace_back(name, seconds_since(start));
        log::info(str(name, " took ", result.stage_seconds.back().second, " s"));
    }

    const JobSpec& spec_;
    const StageObserver& observe_;
    std::vector<std::string> hashes_;
    fs::path record_;
    Chain chain_;
};

// One line, whatever the library said.
std::string one_line(std::string text)
{
    std::replace(text.begin(), text.end(), '\n', ' ');
    return text;
}

void fail(JobResult& result, const JobSpec& spec, const std::string& stage, const std::string& cause)
{
    result.state = "failed";
    result.message = one_line(str(spec.acquisition.key, ": ", stage.empty() ? "start" : stage, ": ", cause));
    log::error(result.message);
}

}  // namespace

JobResult run_job(const JobSpec& spec, const StageObserver& observe)
{
    JobResult result;
    const Clock::time_point start = Clock::now();
    log::set_context(str("job=", spec.acquisition.key));
    std::string stage;
    try {
        validate(spec.options);
        require(!spec.acquisition.echoes.empty(), "the acquisition has no echoes");
        JobRun run(spec, observe);
        try {
            run.run(result);
        } catch (...) {
            stage = run.stage();
            throw;
        }
        for (const fs::path& file : output_files(spec)) result.outputs.push_back(file.generic_string());
    } catch (const std::bad_alloc&) {
        fail(result, spec, stage, str("out of memory; this job was estimated to need ",
                                      estimate_memory_bytes(spec.acquisition, spec.options) / 1'000'000, " MB"));
    } catch (const std::exception& e) {
        fail(result, spec, stage, e.what());
    }
    log::set_context(str("job=", spec.acquisition.key));
    result.seconds = seconds_since(start);
    result.peak_mb = peak_resident_mb();
    return result;
}

}  // namespace qsmpi::pipeline
