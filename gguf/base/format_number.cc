#include "gguf/base/format_number.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <string_view>

namespace quern {
namespace {

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

std::string Counted(uint64_t count, std::string_view what) {
  return fmt::format("{} {}{}", FormatThousands(count), what, count == 1 ? "" : "s");
}

double BitsPerWeight(uint64_t bytes, uint64_t n_weights) {
  return n_weights == 0 ? 0 : 8.0 * static_cast<double>(bytes) / static_cast<double>(n_weights);
}

}  // namespace quern
