// Lines of cells in aligned columns.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace quern {

class TextTable {
 public:
  enum class Align { kLeft, kRight };

  explicit TextTable(std::vector<Align> columns) : columns_(std::move(columns)) {}

  /// One cell for each column, in UTF-8.
  void AddRow(std::vector<std::string> cells) { rows_.push_back(std::move(cells)); }

  /// Indented by two, columns three apart, nothing after a line's last letter.
  std::string Format() const;

 private:
  std::vector<Align> columns_;
  std::vector<std::vector<std::string>> rows_;
};

}  // namespace quern
