// Changes single values of a TOML text and leaves every other byte as it is.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "gguf/base/result.h"
#include "tools/toml/toml.h"

namespace quern {

/// Names from the root to a table, at least one: {"models", "llama8"} is [models.llama8].
using TomlPath = std::vector<std::string>;

class TomlDocument {
 public:
  /// `name` stands for the text in messages, which tell line and column. Errors: kInvalidArgument.
  static Result<TomlDocument> Parse(std::string text, std::string name);

  const std::string& text() const { return text_; }
  const toml::table& root() const { return root_; }
  /// Null where there is no such table.
  const toml::table* Find(const TomlPath& path) const;

  /// Sets a whole number of the table at `path`, which exists: in the place of the value that is
  /// there, else in a line of its own below the table's other values. Errors: kInvalidArgument for
  /// a value that is no whole number, kUnsupported where a line would not do; the text is then as
  /// before.
  Status SetInteger(const TomlPath& path, const std::string& key, int64_t value);

  /// Appends a section and its `lines`, each KEY = VALUE. Errors: kUnsupported where the text
  /// defines what a section would have to; the text is then as before.
  Status AddSection(const TomlPath& path, const std::vector<std::string>& lines);

  /// The error "NAME: line 3, column 7: MESSAGE", of where `node` begins.
  tl::unexpected<Error> ErrorAt(const toml::node& node, ErrorCode code,
                                std::string_view message) const;

 private:
  TomlDocument(std::string text, std::string name, toml::table root);

  size_t OffsetOf(const toml::source_position& position) const;
  /// "\n", or what else the first line ends with.
  std::string_view Newline() const;
  /// The text with a line "KEY = VALUE" in the section `table`.
  std::string WithLine(const toml::table& table, const std::string& line) const;

  std::string text_;
  std::string name_;
  toml::table root_;
};

/// `text` as TOML takes it for a value: in quotes.
std::string TomlString(std::string_view text);

/// `text` as a key: as it is, or in quotes if it must be.
std::string TomlKey(std::string_view text);

/// "models.\"llama-3.1\"", as a section's header has it between its brackets.
std::string TomlHeader(const TomlPath& path);

}  // namespace quern
