// From text to tree: a reader of tokens, and one function for each line of the grammar.
#include <algorithm>
#include <charconv>
#include <cmath>
#include <string>
#include <vector>

#include "qsmpi/core/suggest.hpp"
#include "words.hpp"

namespace qsmpi::mask {
namespace {

using detail::is_path;

constexpr std::string_view blanks = " \t\r\n";
constexpr std::string_view marks = ",&|()!\"'";
// Parentheses nested deeper than this are a slip, and would exhaust the stack in the end.
constexpr int deepest = 50;

enum class TokenKind { end, symbol, word, number, path };
struct Token {
    TokenKind kind = TokenKind::end;
    std::string text{};
    std::size_t position = 0;
    double value = 0.0;
};

std::string known_words(bool of_steps)
{
    std::string list;
    const auto add = [&](std::string_view word) { list += str(list.empty() ? "" : ", ", word); };
    if (of_steps)
        for (const auto& w : detail::step_words()) add(w.word);
    else
        for (const auto& w : detail::source_words()) add(w.word);
    return list;
}

template <typename Words>
std::string nearest(const std::string& word, const Words& words)
{
    std::vector<std::string> names;
    for (const auto& w : words) names.emplace_back(w.word);
    return nearest_word(word, names);
}

class Tokens {
public:
    explicit Tokens(std::string_view text) : text_(text) { advance(); }
    [[nodiscard]] const Token& now() const { return now_; }
    [[nodiscard]] bool at(char symbol) const { return now_.kind == TokenKind::symbol && now_.text[0] == symbol; }
    bool take(char symbol)
    {
        if (!at(symbol)) return false;
        advance();
        return true;
    }
    void advance()
    {
        next_ = std::min(text_.find_first_not_of(blanks, next_), text_.size());
        now_ = {.kind = TokenKind::end, .text = {}, .position = next_};
        if (next_ == text_.size()) return;
        const char c = text_[next_];
        if (c == '"' || c == '\'') return take_quoted(c);
        // Inside a name "-" is a letter, at its start it is "and not".
        if (marks.find(c) != std::string_view::npos || c == '-') {
            now_.kind = TokenKind::symbol;
            now_.text = std::string(1, c);
            ++next_;
            return;
        }
        take_name();
    }
    [[noreturn]] void refuse(std::size_t position, const std::string& what) const
    {
        throw InputError(str("mask: '", text_, "', column ", position + 1, ": ", what));
    }
    [[noreturn]] void refuse(const std::string& what) const { refuse(now_.position, what); }
    [[nodiscard]] std::string found() const
    {
        return now_.kind == TokenKind::end ? std::string("the end") : "'" + now_.text + "'";
    }

private:
    void take_quoted(char quote)
    {
        const std::size_t close = text_.find(quote, next_ + 1);
        if (close == std::string_view::npos) refuse(next_, "this quote is not closed");
        now_.kind = TokenKind::path;
        now_.text = std::string(text_.substr(next_ + 1, close - next_ - 1));
        if (now_.text.empty()) refuse(next_, "the name between the quotes is empty");
        next_ = close + 1;
    }

    void take_name()
    {
        const std::size_t begin = next_;
        const auto end_of_word = [&](std::size_t from) {
            return std::min({text_.find_first_of(blanks, from), text_.find_first_of(marks, from), text_.size()});
        };
        next_ = end_of_word(begin);
        std::string_view word = text_.substr(begin, next_ - begin);
        if (is_path(word)) {
            next_ = end_of_path(begin, next_);
            now_.kind = TokenKind::path;
            now_.text = std::string(text_.substr(begin, next_ - begin));
            return;
        }
        double value = 0.0;
        const char* first = word.data();
        const auto [rest, error] = std::from_chars(first, first + word.size(), value);
        if (error == std::errc{} && std::isfinite(value)) {
            // "1mm" is a number and a word.
            next_ = begin + static_cast<std::size_t>(rest - first);
            now_.kind = TokenKind::number;
            now_.value = value;
        } else {
            now_.kind = TokenKind::word;
        }
        now_.text = std::string(text_.substr(begin, next_ - begin));
    }

    // A plain path may hold blanks if it ends like an image: no two names can stand side by side.
    [[nodiscard]] std::size_t end_of_path(std::size_t begin, std::size_t end) const
    {
        const std::size_t limit = std::min({text_.find_first_of(marks, begin), text_.find(" - ", begin), text_.size()});
        for (std::size_t e = end;;) {
            const std::string_view path = text_.substr(begin, e - begin);
            if (path.ends_with(".nii") || path.ends_with(".nii.gz")) return e;
            const std::size_t start = text_.find_first_not_of(blanks, e);
            if (start == std::string_view::npos || start >= limit) return end;
            e = std::min(text_.find_first_of(blanks, start), limit);
        }
    }

    std::string_view text_;
    std::size_t next_ = 0;
    Token now_;
};

class Parser {
public:
    explicit Parser(std::string_view text) : tokens_(text) {}

    Node whole()
    {
        if (tokens_.now().kind == TokenKind::end)
            throw InputError("mask: the expression is empty; expected a source: " + known_words(false) + ", or a file");
        Node node = mask();
        if (tokens_.now().kind == TokenKind::end) return node;
        if (tokens_.at(')')) tokens_.refuse("this parenthesis was not opened");
        tokens_.refuse(str("expected &, |, - or a comma, but found ", tokens_.found(), remedy_for_words(node)));
    }

private:
    Node mask()
    {
        Node node = either();
        if (!tokens_.at(',')) return node;
        Node shaped{.kind = NodeKind::shaped};
        // "(a, fill), erode 1" is "a, fill, erode 1".
        if (node.kind == NodeKind::shaped) shaped = std::move(node);
        else shaped.operands.push_back(std::move(node));
        while (tokens_.take(',')) shaped.steps.push_back(step());
        return shaped;
    }

    Node either()
    {
        Node node = product();
        while (tokens_.take('|')) append(node, NodeKind::either, product());
        return node;
    }

    Node product()
    {
        Node node = factor();
        while (tokens_.at('&') || tokens_.at('-')) {
            const NodeKind kind = tokens_.at('&') ? NodeKind::both : NodeKind::without;
            tokens_.advance();
            append(node, kind, factor());
        }
        return node;
    }

    // Operands of one kind stand side by side: a & b & c is one node.
    static void append(Node& node, NodeKind kind, Node operand)
    {
        if (node.kind != kind) {
            Node parent{.kind = kind};
            parent.operands.push_back(std::move(node));
            node = std::move(parent);
        }
        node.operands.push_back(std::move(operand));
    }

    Node factor()
    {
        const std::size_t position = tokens_.now().position;
        if (tokens_.at('!') || tokens_.at('(')) {
            if (++depth_ > deepest) tokens_.refuse("nested too deeply");
        }
        if (tokens_.take('!')) {
            Node node{.kind = NodeKind::inverse};
            node.operands.push_back(factor());
            --depth_;
            return node;
        }
        if (tokens_.take('(')) {
            Node node = mask();
            if (tokens_.now().kind == TokenKind::end) tokens_.refuse(position, "this parenthesis is not closed");
            if (!tokens_.take(')')) tokens_.refuse(str("expected &, |, -, a comma or ')', but found ", tokens_.found()));
            --depth_;
            return node;
        }
        return {.kind = NodeKind::source, .source = source()};
    }

    Source source()
    {
        const Token token = tokens_.now();
        if (token.kind == TokenKind::path) {
            tokens_.advance();
            return {.kind = SourceKind::file, .file = token.text};
        }
        if (token.kind != TokenKind::word) refuse_as_source(token);
        const auto words = detail::source_words();
        const auto word = std::find_if(words.begin(), words.end(), [&](const auto& w) { return w.word == token.text; });
        if (word == words.end()) refuse_unknown_source(token);
        tokens_.advance();
        Source source{.kind = word->kind};
        if (tokens_.now().kind != TokenKind::number) return source;
        const double value = tokens_.now().value;
        if (word->number.empty()) tokens_.refuse(str("'", word->word, "' takes no number"));
        if (!(value > word->low && value < word->high))
            tokens_.refuse(str("'", word->word, "' takes ", word->number, " between ", word->low, " and ", word->high, ", not ", value));
        source.parameter = value;
        tokens_.advance();
        return source;
    }

    Step step()
    {
        const Token token = tokens_.now();
        if (token.kind != TokenKind::word)
            tokens_.refuse(str("expected a step (", known_words(true), "), but found ", tokens_.found(),
                               token.kind == TokenKind::path ? "; a path with a comma in it needs quotes" : ""));
        const auto words = detail::step_words();
        const auto word = std::find_if(words.begin(), words.end(), [&](const auto& w) { return w.word == token.text; });
        if (word == words.end()) refuse_unknown_step(token);
        tokens_.advance();
        Step step{.kind = word->kind};
        const Token number = tokens_.now();
        if (number.kind != TokenKind::number) {
            if (word->number_is_needed)
                tokens_.refuse(str("'", word->word, "' needs a length in mm, as in '", word->word, " 2', but found ", tokens_.found()));
            return step;
        }
        if (word->unit.empty()) tokens_.refuse(str("'", word->word, "' takes no number"));
        if (!(number.value > 0.0 && number.value <= word->high))
            tokens_.refuse(str("'", word->word, "' takes more than 0 and up to ", word->high, " ", word->unit, ", not ", number.value));
        step.amount = number.value;
        tokens_.advance();
        if (tokens_.now().kind == TokenKind::word) {
            if (tokens_.now().text != word->unit)
                tokens_.refuse(str("the number of '", word->word, "' is in ", word->unit, ", not '", tokens_.now().text, "'"));
            tokens_.advance();
        }
        return step;
    }

    [[noreturn]] void refuse_as_source(const Token& token) const
    {
        std::string hint;
        if (token.kind == TokenKind::number && token.position > 0) hint = "; numbers follow the word that they belong to";
        tokens_.refuse(str("expected a source (", known_words(false), ", a file or a parenthesis), but found ", tokens_.found(), hint));
    }

    [[noreturn]] void refuse_unknown_source(const Token& token) const
    {
        const std::string near = nearest(token.text, detail::source_words());
        std::string hint = "; known are " + known_words(false) + ", and files (with a '/' or '.nii' in their name)";
        const auto steps = detail::step_words();
        const bool is_step = std::any_of(steps.begin(), steps.end(), [&](const auto& w) { return w.word == token.text; });
        if (is_step) hint = "; it is a step, and steps follow a source and a comma: 'auto, " + token.text + "'";
        else if (token.text == "not") hint = "; 'not' is written !";
        else if (token.text.find('-') != std::string::npos) hint = "; the sign for 'and not' has blanks around it: ' - '";
        else if (!near.empty()) hint = "; did you mean '" + near + "'?";
        tokens_.refuse(str("'", token.text, "' is not a source", hint));
    }

    [[noreturn]] void refuse_unknown_step(const Token& token) const
    {
        const std::string near = nearest(token.text, detail::step_words());
        const auto sources = detail::source_words();
        const bool is_source = std::any_of(sources.begin(), sources.end(), [&](const auto& w) { return w.word == token.text; });
        std::string hint = "; known are " + known_words(true);
        if (is_source) hint = "; it is a source, and sources are joined by & or |";
        else if (!near.empty()) hint = "; did you mean '" + near + "'?";
        tokens_.refuse(str("'", token.text, "' is not a step", hint));
    }

    [[nodiscard]] std::string remedy_for_words(const Node& before) const
    {
        const Token& token = tokens_.now();
        if (token.text == "and") return "; 'and' is written &";
        if (token.text == "or") return "; 'or' is written |";
        if (token.text == "not") return "; 'and not' is written -";
        const auto steps = detail::step_words();
        if (std::any_of(steps.begin(), steps.end(), [&](const auto& w) { return w.word == token.text; }))
            return "; a comma is missing before this step";
        bool has_file = token.kind == TokenKind::path;
        for_each_source(before, [&](const Source& s) { has_file |= s.kind == SourceKind::file; });
        return has_file ? "; a path with blanks or signs in it needs quotes" : "";
    }

    Tokens tokens_;
    int depth_ = 0;
};

}  // namespace

Node parse_expression(std::string_view text) { return Parser(text).whole(); }

}  // namespace qsmpi::mask
