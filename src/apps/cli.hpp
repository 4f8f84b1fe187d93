#pragma once
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "qsmpi/core/error.hpp"

/// What the sub-commands share: options with help, defaults, suggestions and configuration files.
namespace qsmpi::apps {

/// The command line is wrong; ends with exit_usage.
class UsageError : public Error {
public:
    using Error::Error;
};

inline constexpr int exit_done = 0;
inline constexpr int exit_some_failed = 1;
inline constexpr int exit_usage = 2;
inline constexpr int exit_input = 3;
inline constexpr int exit_io = 4;
inline constexpr int exit_bug = 70;

enum class Voice { loud, mute };

/// The options of one sub-command, bound to variables; the value of a variable is the option's default.
/// Unknown and abbreviated options are errors that name the nearest option.
class CommandLine {
public:
    /// @param usage    what follows the name of the command in the usage line
    /// @param example  a whole command line
    CommandLine(std::string name, std::string summary, std::string usage, std::string example);

    /// Starts a group of options in the help text.
    void group(std::string title);
    void positional(const char* name, std::string& target, const char* help);
    void optional_positional(const char* name, std::string& target, const char* help);
    /// @param name  without dashes, in kebab-case, wearing its unit
    void option(const char* name, const char* placeholder, std::string& target, std::string help);
    void option(const char* name, const char* placeholder, int& target, std::string help);
    void option(const char* name, const char* placeholder, std::uint64_t& target, std::string help);
    void option(const char* name, const char* placeholder, double& target, std::string help);
    /// on or off, always with a value.
    void on_off(const char* name, bool& target, std::string help);
    /// Numbers with commas between.
    void option(const char* name, const char* placeholder, std::vector<double>& target, std::string help);
    /// Several values, one after the other or the option repeated.
    void list(const char* name, const char* placeholder, std::vector<std::string>& target, std::string help);
    /// Off unless given; `--name` or `--name=on`.
    void flag(const char* name, bool& target, std::string help);
    /// A text that tells whether it was given; `default_text` is for the help and, as a comment, for configuration files.
    void option(const char* name, const char* placeholder, std::optional<std::string>& target, std::string default_text,
                std::string help);
    /// The same for a flag: "on", or "off" from `--name=off`.
    void flag(const char* name, std::optional<std::string>& target, std::string help);
    /// Adds --config and --write-config.
    void with_config_files();
    /// Lines under the options.
    void closing(std::string text) { closing_ = std::move(text); }

    /// Sets the variables; mute for all ranks but one: prints and writes nothing. True if the command shall go on; false if help was printed or a configuration written.
    /// @throws UsageError
    [[nodiscard]] bool parse(const std::vector<std::string>& arguments, Voice voice = Voice::loud);
    [[nodiscard]] std::string help() const;

private:
    enum class Kind { single, flag, list };
    struct Option {
        std::string name, placeholder, help, group;
        Kind kind = Kind::single;
        std::function<void(const std::vector<std::string>&)> set;
        std::function<std::vector<std::string>()> get;
        std::string default_text;
    };
    struct Positional {
        std::string name, help;
        std::string* target;
        bool required;
    };
    void add(const char* name, const char* placeholder, std::string help, Kind kind,
             std::function<void(const std::vector<std::string>&)> set, std::function<std::vector<std::string>()> get);
    void take_positionals(const std::vector<std::string>& values) const;
    [[noreturn]] void unknown(const std::string& option, const std::string& where) const;
    void write_config(const std::string& file) const;

    std::string name_, summary_, usage_, example_, closing_, group_ = "Options";
    std::vector<Option> options_;
    std::vector<Positional> positionals_;
    std::string config_file_, write_config_file_;
};

/// Three numbers, from "96,112,96" or one number for all. @throws UsageError
[[nodiscard]] std::vector<double> three_of(const std::vector<double>& values, const char* option);

}  // namespace qsmpi::apps
