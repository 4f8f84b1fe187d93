#include "run_files.hpp"

#include <charconv>
#include <optional>

#include "qsmpi/core/error.hpp"
#include "qsmpi/core/hash.hpp"
#include "qsmpi/runtime/run.hpp"

namespace qsmpi::runtime {
namespace {

namespace fs = std::filesystem;

/// "2-of-4" as a shard.
std::optional<Shard> shard_from(std::string_view text)
{
    Shard shard;
    const char* const end = text.data() + text.size();
    const auto [middle, bad_index] = std::from_chars(text.data(), end, shard.index);
    if (bad_index != std::errc{} || !std::string_view(middle, end).starts_with("-of-")) return std::nullopt;
    const auto [stop, bad_count] = std::from_chars(middle + 4, end, shard.count);
    if (bad_count != std::errc{} || stop != end) return std::nullopt;
    if (shard.count < 2 || shard.index < 0 || shard.index >= shard.count) return std::nullopt;
    return shard;
}

}  // namespace

fs::path RunFiles::name(const std::string& stem, const char* extension) const
{
    const std::string part = shard_.count > 1 ? str('.', shard_.index, "-of-", shard_.count) : "";
    return folder_ / str(stem, part, extension);
}

fs::path RunFiles::log_of(const std::string& key) const
{
    constexpr std::size_t longest = 200;
    std::string harmless;
    for (const char c : key.substr(0, longest)) {
        const bool plain = (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '-' ||
                           c == '_' || c == '+' || (c == '.' && !harmless.empty());
        harmless.push_back(plain ? c : '_');
    }
    if (harmless != key) harmless = str(harmless, '.', hash_of(key).substr(0, 8));  // "a/b" and "a_b" stay apart
    return folder_ / "logs" / (harmless + ".log");
}

std::vector<Shard> RunFiles::present(const fs::path& folder, const std::string& kind)
{
    std::vector<Shard> out;
    std::error_code error;
    for (fs::directory_iterator i(folder, error), end; !error && i != end; i.increment(error)) {
        std::string file = i->path().filename().string();
        if (kind == "journal") {
            if (!file.ends_with(".jsonl")) continue;
            file.resize(file.size() - 6);
        }
        if (file == kind) {
            out.push_back({});
        } else if (file.starts_with(str(kind, '.'))) {
            if (const auto shard = shard_from(std::string_view(file).substr(kind.size() + 1))) out.push_back(*shard);
        }
    }
    return out;
}

int shard_of(const std::string& key, int shard_count)
{
    const std::string digits = hash_of(key).substr(0, 15);
    std::uint64_t value = 0;
    std::from_chars(digits.data(), digits.data() + digits.size(), value, 16);
    return static_cast<int>(value % static_cast<std::uint64_t>(shard_count));
}

}  // namespace qsmpi::runtime
