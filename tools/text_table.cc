#include "tools/text_table.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "gguf/check.h"

namespace quern {
namespace {

/// Characters of a UTF-8 text: all bytes but the continuations.
size_t Width(std::string_view text) {
  return static_cast<size_t>(
      std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xc0) != 0x80; }));
}

/// `value` with three digits and the unit that it reaches by steps of `step`.
template <size_t n_units>
std::string WithUnit(uint64_t value, double step,
                     const std::array<std::string_view, n_units>& units) {
  auto scaled = static_cast<double>(value);
  size_t unit = 0;
  // 999.5 would print as 1000.
  while (scaled >= std::min(step, 999.5) && unit + 1 < n_units) {
    scaled /= step;
    ++unit;
  }
  const int decimals = unit == 0 || scaled >= 99.95 ? 0 : scaled >= 9.995 ? 1 : 2;
  return fmt::format("{:.{}f}{}{}", scaled, decimals, units[unit].empty() ? "" : " ", units[unit]);
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

std::string FormatBytes(uint64_t bytes) {
  return WithUnit(bytes, 1024, std::array<std::string_view, 5>{"B", "KiB", "MiB", "GiB", "TiB"});
}

std::string FormatCount(uint64_t count) {
  return WithUnit(count, 1000, std::array<std::string_view, 5>{"", "k", "M", "B", "T"});
}

std::string FormatThousands(uint64_t number) {
  std::string text = fmt::format("{}", number);
  for (size_t end = text.size(); end > 3; end -= 3) text.insert(end - 3, 1, ',');
  return text;
}

}  // namespace quern
