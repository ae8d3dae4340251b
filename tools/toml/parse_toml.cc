#include "tools/toml/parse_toml.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <optional>
#include <utility>

#include "gguf/base/printable.h"

namespace quern {
namespace {

constexpr size_t kMostMessageBytes = 500;  ///< of toml++'s, which has keys of any length

/// The length of the string that `text` begins with, which may be the rest of it.
size_t StringLength(std::string_view text) {
  const char quote = text[0];
  const bool is_multi_line = text.size() > 2 && text[1] == quote && text[2] == quote;
  const size_t n_quotes = is_multi_line ? 3 : 1;
  const std::string_view end = text.substr(0, n_quotes);
  for (size_t i = n_quotes; i < text.size(); ++i) {
    if (text[i] == '\\' && quote == '"') {
      ++i;
    } else if (text[i] == '\n' && !is_multi_line) {
      return i;
    } else if (text.substr(i, n_quotes) == end) {
      // Of five quotes, the first two are of the string.
      const size_t most = is_multi_line ? 5 : 1;
      const size_t n = std::min(text.find_first_not_of(quote, i), text.size()) - i;
      return i + std::min(n, most);
    }
  }
  return text.size();
}

/// Where the first key gets too many parts. Each is a table in a table, and toml++ recurs into
/// them: those of a line of 400 KB overflow the stack.
std::optional<size_t> FindLongKey(std::string_view text) {
  size_t n_dots = 0;
  for (size_t i = 0; i < text.size();) {
    const char c = text[i];
    if (c == '"' || c == '\'') {
      i += StringLength(text.substr(i));
    } else if (c == '#') {
      i = std::min(text.find('\n', i), text.size());
    } else {
      if (std::string_view("=,[]{}\n").find(c) != std::string_view::npos) n_dots = 0;
      if (c == '.' && ++n_dots == kMostTomlKeyParts) return i;
      ++i;
    }
  }
  return std::nullopt;
}

/// As toml++ counts: from 1, and columns are characters.
toml::source_position PositionOf(std::string_view text, size_t offset) {
  const std::string_view before = text.substr(0, offset);
  const std::string_view line = before.substr(before.rfind('\n') + 1);
  const auto begins_character = [](char c) { return (static_cast<uint8_t>(c) & 0xc0) != 0x80; };
  return {
      static_cast<toml::source_index>(1 + std::count(before.begin(), before.end(), '\n')),
      static_cast<toml::source_index>(1 +
                                      std::count_if(line.begin(), line.end(), begins_character)),
  };
}

}  // namespace

tl::expected<toml::table, TomlError> ParseToml(std::string_view text) {
  if (const std::optional<size_t> offset = FindLongKey(text)) {
    return tl::unexpected(
        TomlError{fmt::format("a key of more than {} parts with dots between", kMostTomlKeyParts),
                  PositionOf(text, *offset)});
  }
  toml::parse_result parsed = toml::parse(text);
  if (parsed) return std::move(parsed).table();
  const toml::parse_error& error = parsed.error();
  return tl::unexpected(
      TomlError{Printable(error.description(), kMostMessageBytes), error.source().begin});
}

}  // namespace quern
