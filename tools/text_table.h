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

/// "4.58 GiB", "21.0 MiB", "512 B": three digits of the largest unit that gives at least 1.
std::string FormatBytes(uint64_t bytes);

/// "8.03 B", "5.51 M", "512": three digits of thousands, millions, billions.
std::string FormatCount(uint64_t count);

/// "128,256"
std::string FormatThousands(uint64_t number);

}  // namespace quern
