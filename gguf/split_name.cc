#include "gguf/split_name.h"

#include <fmt/format.h>

namespace quern {
namespace {

constexpr size_t kDigits = 5;
constexpr std::string_view kOf = "-of-";
constexpr std::string_view kExtension = ".gguf";

/// Takes a five-digit number off the end of `text`.
std::optional<uint32_t> TakeNumber(std::string_view& text) {
  if (text.size() < kDigits) return std::nullopt;
  uint32_t number = 0;
  for (const char digit : text.substr(text.size() - kDigits)) {
    if (digit < '0' || digit > '9') return std::nullopt;
    number = number * 10 + static_cast<uint32_t>(digit - '0');
  }
  text.remove_suffix(kDigits);
  return number;
}

bool TakeSuffix(std::string_view& text, std::string_view suffix) {
  if (!text.ends_with(suffix)) return false;
  text.remove_suffix(suffix.size());
  return true;
}

}  // namespace

std::optional<SplitName> ParseSplitName(std::string_view path) {
  if (!TakeSuffix(path, kExtension)) return std::nullopt;
  const std::optional<uint32_t> count = TakeNumber(path);
  if (!count || !TakeSuffix(path, kOf)) return std::nullopt;
  const std::optional<uint32_t> number = TakeNumber(path);
  if (!number || !TakeSuffix(path, "-")) return std::nullopt;
  if (*number == 0 || *number > *count) return std::nullopt;
  return SplitName{std::string(path), *number, *count};
}

std::string SplitPath(std::string_view prefix, uint32_t number, uint32_t count) {
  return fmt::format("{}-{:05}{}{:05}{}", prefix, number, kOf, count, kExtension);
}

}  // namespace quern
