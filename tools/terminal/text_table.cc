#include "tools/terminal/text_table.h"

#include <algorithm>

#include "gguf/base/check.h"

namespace quern {
namespace {

/// Characters of a UTF-8 text: all bytes but the continuations.
size_t Width(std::string_view text) {
  return static_cast<size_t>(
      std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xc0) != 0x80; }));
}

}  // namespace

std::string TextTable::Format() const {
  std::vector<size_t> widths(columns_.size(), 0);
  for (const auto& row : rows_) {
    QUERN_DCHECK(row.size() == columns_.size());
    for (size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], Width(row[i]));
  }
  std::string text;
  for (const auto& row : rows_) {
    std::string line = "  ";
    for (size_t i = 0; i < row.size(); ++i) {
      const std::string padding(widths[i] - Width(row[i]), ' ');
      if (i != 0) line += "   ";
      if (columns_[i] == Align::kRight) line += padding;
      line += row[i];
      if (columns_[i] == Align::kLeft) line += padding;
    }
    line.erase(line.find_last_not_of(' ') + 1);
    text += line;
    text += '\n';
  }
  return text;
}

}  // namespace quern
