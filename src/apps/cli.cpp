#include "cli.hpp"

#include <charconv>
#include <cmath>
#include <fstream>
#include <iostream>
#include <system_error>

#include <boost/program_options.hpp>

#include "qsmpi/core/suggest.hpp"

namespace qsmpi::apps {

namespace po = boost::program_options;
using Values = std::vector<std::string>;

namespace {

constexpr std::size_t help_column = 32, help_width = 104;

template <typename Number>
Number number_from(const std::string& text, const std::string& name, const char* kind)
{
    Number value{};
    const char* end = text.data() + text.size();
    const auto [last, error] = std::from_chars(text.data(), end, value);
    if (error != std::errc{} || last != end)
        throw UsageError(str("--", name, ": '", text, "' is not ", kind));
    return value;
}

double real_from(const std::string& text, const std::string& name)
{
    const auto value = number_from<double>(text, name, "a number");
    if (!std::isfinite(value)) throw UsageError(str("--", name, ": '", text, "' is not a finite number"));
    return value;
}

std::string text_of(double value)
{
    char buffer[40];
    const auto [end, error] = std::to_chars(buffer, buffer + sizeof buffer, value);
    return error == std::errc{} ? std::string(buffer, end) : "?";
}

std::string joined(const Values& values, const char* separator)
{
    std::string text;
    for (const std::string& v : values) text += (text.empty() ? "" : separator) + v;
    return text;
}

std::vector<double> numbers_from(const std::string& text, const std::string& name)
{
    std::vector<double> values;
    for (std::size_t begin = 0; begin <= text.size();) {
        const std::size_t comma = std::min(text.find(',', begin), text.size());
        values.push_back(real_from(text.substr(begin, comma - begin), name));
        begin = comma + 1;
    }
    return values;
}

bool on_from(const std::string& text, const std::string& name)
{
    if (text == "on") return true;
    if (text == "off") return false;
    throw UsageError(str("--", name, ": '", text, "' is neither on nor off"));
}

/// Text in lines of at most help_width, all after the first indented to the help column.
std::string wrapped(const std::string& text)
{
    std::string out;
    std::size_t column = help_column;
    std::istringstream words(text);
    for (std::string word; words >> word;) {
        if (column > help_column && column + 1 + word.size() > help_width) {
            out += '\n' + std::string(help_column, ' ');
            column = help_column;
        } else if (column > help_column) {
            out += ' ';
            ++column;
        }
        out += word;
        column += word.size();
    }
    return out;
}

std::string help_row(const std::string& left, const std::string& text)
{
    std::string row = "  " + left;
    if (row.size() + 2 > help_column) row += '\n' + std::string(help_column, ' ');
    else row.append(help_column - row.size(), ' ');
    return row + wrapped(text) + '\n';
}

}  // namespace

CommandLine::CommandLine(std::string name, std::string summary, std::string usage, std::string example)
    : name_(std::move(name)), summary_(std::move(summary)), usage_(std::move(usage)), example_(std::move(example))
{
}

void CommandLine::group(std::string title) { group_ = std::move(title); }

void CommandLine::positional(const char* name, std::string& target, const char* help)
{
    positionals_.push_back({name, help, &target, true});
}

void CommandLine::optional_positional(const char* name, std::string& target, const char* help)
{
    positionals_.push_back({name, help, &target, false});
}

void CommandLine::add(const char* name, const char* placeholder, std::string help, Kind kind,
                      std::function<void(const Values&)> set, std::function<Values()> get)
{
    const std::string default_text = kind == Kind::flag ? "" : joined(get(), " ");
    options_.push_back({name, placeholder, std::move(help), group_, kind, std::move(set), std::move(get), default_text});
}

void CommandLine::option(const char* name, const char* placeholder, std::string& target, std::string help)
{
    add(name, placeholder, std::move(help), Kind::single, [&target](const Values& v) { target = v.back(); },
        [&target] { return target.empty() ? Values{} : Values{target}; });
}

void CommandLine::option(const char* name, const char* placeholder, int& target, std::string help)
{
    add(name, placeholder, std::move(help), Kind::single,
        [&target, name = std::string(name)](const Values& v) { target = number_from<int>(v.back(), name, "a whole number"); },
        [&target] { return Values{std::to_string(target)}; });
}

void CommandLine::option(const char* name, const char* placeholder, std::uint64_t& target, std::string help)
{
    add(name, placeholder, std::move(help), Kind::single,
        [&target, name = std::string(name)](const Values& v) {
            target = number_from<std::uint64_t>(v.back(), name, "a whole number of 0 or more");
        },
        [&target] { return Values{std::to_string(target)}; });
}

void CommandLine::option(const char* name, const char* placeholder, double& target, std::string help)
{
    add(name, placeholder, std::move(help), Kind::single,
        [&target, name = std::string(name)](const Values& v) { target = real_from(v.back(), name); },
        [&target] { return Values{text_of(target)}; });
}

void CommandLine::option(const char* name, const char* placeholder, std::vector<double>& target, std::string help)
{
    add(name, placeholder, std::move(help), Kind::single,
        [&target, name = std::string(name)](const Values& v) { target = numbers_from(v.back(), name); },
        [&target] {
            Values texts;
            for (const double v : target) texts.push_back(text_of(v));
            return texts.empty() ? Values{} : Values{joined(texts, ",")};
        });
}

void CommandLine::on_off(const char* name, bool& target, std::string help)
{
    add(name, "on|off", std::move(help), Kind::single,
        [&target, name = std::string(name)](const Values& v) { target = on_from(v.back(), name); },
        [&target] { return Values{target ? "on" : "off"}; });
}

void CommandLine::list(const char* name, const char* placeholder, Values& target, std::string help)
{
    add(name, placeholder, std::move(help), Kind::list, [&target](const Values& v) { target = v; },
        [&target] { return target; });
}

void CommandLine::flag(const char* name, bool& target, std::string help)
{
    add(name, "", std::move(help), Kind::flag,
        [&target, name = std::string(name)](const Values& v) { target = on_from(v.back(), name); },
        [&target] { return Values{target ? "on" : "off"}; });
}

void CommandLine::option(const char* name, const char* placeholder, std::optional<std::string>& target,
                         std::string default_text, std::string help)
{
    add(name, placeholder, std::move(help), Kind::single, [&target](const Values& v) { target = v.back(); },
        [&target] { return target ? Values{*target} : Values{}; });
    options_.back().default_text = std::move(default_text);
}

void CommandLine::flag(const char* name, std::optional<std::string>& target, std::string help)
{
    add(name, "", std::move(help), Kind::flag,
        [&target, name = std::string(name)](const Values& v) { target = on_from(v.back(), name) ? "on" : "off"; },
        [&target] { return target ? Values{*target} : Values{}; });
}

void CommandLine::with_config_files()
{
    option("config", "FILE", config_file_,
           "read options from an INI file, one 'name = value' a line; the command line goes first");
    option("write-config", "FILE", write_config_file_, "write all options in force to an INI file and stop");
}

std::string CommandLine::help() const
{
    std::string text = str("qsmpi ", name_, " - ", summary_, "\n\nUsage:    qsmpi ", name_, usage_.empty() ? "" : " ", usage_,
                           "\nExample:  ", example_, "\n");
    if (!positionals_.empty()) text += "\nArguments:\n";
    for (const Positional& p : positionals_) text += help_row(p.required ? p.name : str("[", p.name, "]"), p.help);
    std::string shown;
    for (const Option& o : options_) {
        if (o.group != shown) text += str("\n", o.group, ":\n");
        shown = o.group;
        std::string left = "--" + o.name;
        if (!o.placeholder.empty()) left += " " + o.placeholder;
        if (!o.default_text.empty()) left += str(" (=", o.default_text, ")");
        text += help_row(left, o.help);
    }
    text += str("\n", help_row("--help", "print this and stop"));
    if (!closing_.empty()) text += "\n" + closing_ + "\n";
    return text;
}

void CommandLine::unknown(const std::string& option, const std::string& where) const
{
    Values names{"help"};
    for (const Option& o : options_) names.push_back(o.name);
    const std::string nearest = nearest_word(option, names);
    throw UsageError(str("there is no option ", where, option,
                         nearest.empty() ? "" : str("; did you mean ", where, nearest, "?")));
}

void CommandLine::take_positionals(const Values& values) const
{
    for (const std::string& v : values) {
        if (v.size() > 1 && v[0] == '-') unknown(v, "");
    }
    for (std::size_t i = 0; i < positionals_.size(); ++i) {
        if (i < values.size()) *positionals_[i].target = values[i];
        else if (positionals_[i].required) throw UsageError(str(positionals_[i].name, " is missing"));
    }
    if (values.size() > positionals_.size())
        throw UsageError(str("'", values[positionals_.size()], "' is one argument too many"));
}

bool CommandLine::parse(const Values& arguments, Voice voice)
{
    for (const std::string& a : arguments) {
        if (a == "--") break;
        if (a != "--help" && a != "-h") continue;
        if (voice == Voice::loud) std::cout << help() << std::flush;
        return false;
    }
    po::options_description description;
    for (const Option& o : options_) {
        auto* value = po::value<Values>();
        if (o.kind == Kind::list) value->multitoken();
        if (o.kind == Kind::flag) value->implicit_value(Values{"on"}, "on");
        description.add_options()(o.name.c_str(), value);
    }
    using style = po::command_line_style::style_t;
    constexpr int long_options = style::allow_long | style::long_allow_adjacent | style::long_allow_next;
    po::variables_map map;
    Values positionals;
    try {
        po::parsed_options parsed = po::command_line_parser(arguments).options(description).style(long_options).run();
        std::erase_if(parsed.options, [&](const po::option& o) {
            if (o.position_key < 0) return false;
            positionals.insert(positionals.end(), o.value.begin(), o.value.end());
            return true;
        });
        po::store(parsed, map);
    } catch (const po::unknown_option& e) {
        std::string name = e.get_option_name();
        name.erase(0, name.find_first_not_of('-'));
        unknown(name, "--");
    } catch (const po::invalid_command_line_syntax& e) {
        throw UsageError(str(e.get_option_name(), " needs a value"));
    } catch (const po::error& e) {
        throw UsageError(e.what());
    }
    if (map.contains("config")) {
        const std::string file = map["config"].as<Values>().back();
        std::ifstream in(file);
        if (!in) throw UsageError(str("--config: cannot read ", file));
        try {
            po::store(po::parse_config_file(in, description), map);
        } catch (const po::unknown_option& e) {
            unknown(e.get_option_name(), str(file, ": "));
        } catch (const po::error& e) {
            throw UsageError(str(file, ": ", e.what()));
        }
    }
    for (const Option& o : options_) {
        if (!map.contains(o.name)) continue;
        const auto& values = map[o.name].as<Values>();
        if (o.kind != Kind::list && values.size() > 1)
            throw UsageError(str("--", o.name, " is given ", values.size(), " times"));
        o.set(values);
    }
    if (!write_config_file_.empty()) {
        if (voice == Voice::loud) write_config(write_config_file_);
        return false;
    }
    take_positionals(positionals);
    return true;
}

void CommandLine::write_config(const std::string& file) const
{
    std::ofstream out(file);
    out << "# Options of qsmpi " << name_ << "; use with --config. A line that begins with # is a comment.\n";
    std::string shown;
    for (const Option& o : options_) {
        if (o.name == "config" || o.name == "write-config") continue;
        if (o.group != shown) out << "\n# " << o.group << '\n';
        shown = o.group;
        const Values values = o.get();
        if (values.empty()) out << "# " << o.name << " =" << (o.default_text.empty() ? "" : " ") << o.default_text << '\n';
        for (const std::string& v : values) out << o.name << " = " << v << '\n';
    }
    out.close();
    if (!out) throw IoError(str("--write-config: cannot write ", file));
}

std::vector<double> three_of(const std::vector<double>& values, const char* option)
{
    if (values.size() == 1) return {values[0], values[0], values[0]};
    if (values.size() != 3) throw UsageError(str("--", option, ": give 1 or 3 numbers with commas between, not ", values.size()));
    return values;
}

}  // namespace qsmpi::apps
