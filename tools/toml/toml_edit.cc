#include "tools/toml/toml_edit.h"

#include <algorithm>
#include <sstream>
#include <utility>

#include "gguf/base/printable.h"
#include "tools/toml/parse_toml.h"

namespace quern {
namespace {

constexpr std::string_view kByteOrderMark = "\xef\xbb\xbf";

/// Whether more lines of the section may follow the value: not a section of its own, nor what other
/// sections add to.
bool IsValueOfSection(const toml::node& node) {
  if (const toml::table* table = node.as_table()) return table->is_inline();
  return !node.is_array_of_tables();
}

std::string Name(toml::node_type type) {
  std::ostringstream text;
  text << type;
  return text.str();
}

/// `Table` is const or not.
template <typename Table>
Table* FindTable(Table& root, const TomlPath& path) {
  Table* table = &root;
  for (const std::string& name : path) {
    auto* child = table->get(name);
    table = child != nullptr ? child->as_table() : nullptr;
    if (table == nullptr) break;
  }
  return table;
}

}  // namespace

TomlDocument::TomlDocument(std::string text, std::string name, toml::table root)
    : text_(std::move(text)), name_(std::move(name)), root_(std::move(root)) {}

Result<TomlDocument> TomlDocument::Parse(std::string text, std::string name) {
  auto parsed = ParseToml(text);
  if (!parsed) {
    const auto& [message, at] = parsed.error();
    return Fail(ErrorCode::kInvalidArgument, "{}: line {}, column {}: no TOML: {}", name, at.line,
                at.column, message);
  }
  return TomlDocument(std::move(text), std::move(name), *std::move(parsed));
}

const toml::table* TomlDocument::Find(const TomlPath& path) const { return FindTable(root_, path); }

Status TomlDocument::SetInteger(const TomlPath& path, const std::string& key, int64_t value) {
  const toml::table& table = *Find(path);
  const toml::node* node = table.get(key);
  if (node != nullptr && !node->is_integer()) {
    return ErrorAt(
        *node, ErrorCode::kInvalidArgument,
        fmt::format("{} is of type {}, expected a whole number", Quoted(key), Name(node->type())));
  }
  std::string text;
  if (node != nullptr) {
    const size_t begin = OffsetOf(node->source().begin);
    const size_t end = OffsetOf(node->source().end);
    text = text_.substr(0, begin) + std::to_string(value) + text_.substr(end);
  } else if (text_.compare(OffsetOf(table.source().begin), 1, "[") == 0) {
    text = WithLine(table, fmt::format("{} = {}", TomlKey(key), value));
  }
  // Whatever form the section has, nothing else may have changed.
  toml::table expected = root_;
  FindTable(expected, path)->insert_or_assign(key, value);
  Result<TomlDocument> changed = Parse(std::move(text), name_);
  if (!changed || changed->root_ != expected) {
    return ErrorAt(table, ErrorCode::kUnsupported,
                   fmt::format("{} has no section [{}] of its own, to which a line {} = {} could "
                               "be added: add it by hand",
                               Printable(path.back()), Printable(TomlHeader(path)), key, value));
  }
  *this = *std::move(changed);
  return {};
}

std::string TomlDocument::WithLine(const toml::table& table, const std::string& line) const {
  size_t end = OffsetOf(table.source().end);
  size_t begin = OffsetOf(table.source().begin);
  for (const auto& [key, value] : table) {
    if (!IsValueOfSection(value) || OffsetOf(value.source().end) <= end) continue;
    end = OffsetOf(value.source().end);
    begin = OffsetOf(key.source().begin);
  }
  size_t line_begin = text_.rfind('\n', begin);
  line_begin = line_begin == std::string::npos ? 0 : line_begin + 1;
  const std::string_view before = std::string_view(text_).substr(line_begin, begin - line_begin);
  const std::string_view indent = before.substr(0, before.find_first_not_of(" \t"));

  const size_t line_end = text_.find('\n', end);
  if (line_end == std::string::npos) return fmt::format("{}{}{}{}", text_, Newline(), indent, line);
  std::string text = text_;
  return text.insert(line_end + 1, fmt::format("{}{}{}", indent, line, Newline()));
}

Status TomlDocument::AddSection(const TomlPath& path, const std::vector<std::string>& lines) {
  const std::string_view newline = Newline();
  std::string text = text_;
  if (!text.empty() && text.back() != '\n') text += newline;
  if (!text.empty()) text += newline;
  text += fmt::format("[{}]{}", TomlHeader(path), newline);
  for (const std::string& line : lines) text += fmt::format("{}{}", line, newline);
  Result<TomlDocument> changed = Parse(std::move(text), name_);
  if (!changed) {
    return Fail(ErrorCode::kUnsupported, "{}: no section [{}] can be added: {}", name_,
                Printable(TomlHeader(path)), changed.error().message);
  }
  *this = *std::move(changed);
  return {};
}

tl::unexpected<Error> TomlDocument::ErrorAt(const toml::node& node, ErrorCode code,
                                            std::string_view message) const {
  const toml::source_position& at = node.source().begin;
  return Fail(code, "{}: line {}, column {}: {}", name_, at.line, at.column, message);
}

/// Columns count characters, from 1; a byte order mark is none.
size_t TomlDocument::OffsetOf(const toml::source_position& position) const {
  size_t offset = text_.starts_with(kByteOrderMark) ? kByteOrderMark.size() : 0;
  for (toml::source_index line = 1; line < position.line; ++line) {
    offset = std::min(text_.find('\n', offset), text_.size() - 1) + 1;
  }
  for (toml::source_index column = 1; column < position.column && offset < text_.size(); ++column) {
    offset += std::max<size_t>(1, Utf8SequenceLength(std::string_view(text_).substr(offset)));
  }
  return offset;
}

std::string_view TomlDocument::Newline() const {
  const size_t end = text_.find('\n');
  return end != std::string::npos && end > 0 && text_[end - 1] == '\r' ? "\r\n" : "\n";
}

std::string TomlString(std::string_view text) {
  std::string quoted = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') quoted += '\\';
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) {
      quoted += fmt::format("\\u{:04X}", static_cast<unsigned char>(c));
    } else {
      quoted += c;
    }
  }
  return quoted + '"';
}

std::string TomlKey(std::string_view text) {
  const bool is_bare = !text.empty() && std::all_of(text.begin(), text.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '-';
  });
  return is_bare ? std::string(text) : TomlString(text);
}

std::string TomlHeader(const TomlPath& path) {
  std::string header;
  for (const std::string& name : path) {
    if (!header.empty()) header += '.';
    header += TomlKey(name);
  }
  return header;
}

}  // namespace quern
