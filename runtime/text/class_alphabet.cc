#include "runtime/text/class_alphabet.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "gguf/base/check.h"
#include "gguf/base/utf8.h"
#include "runtime/text/unicode_category.h"

namespace quern {
namespace {

constexpr unsigned kFirstClass = 0x80;
constexpr size_t kMaxSets = 4;
constexpr unsigned kSetCombinations = 1U << kMaxSets;
constexpr unsigned kCategories = static_cast<unsigned>(UnicodeCategory::kWhitespace);
static_assert(kFirstClass + kCategories * kSetCombinations <= 0x100);

constexpr char kNonAsciiWhitespace = '\v';

unsigned FirstClassOf(UnicodeCategory category) {
  return kFirstClass + static_cast<unsigned>(category) * kSetCombinations;
}

/// The inside of a bracket that matches one general category.
std::string BytesOfProperty(char property) {
  const auto with_ascii = [](const char* ascii, UnicodeCategory category) {
    const unsigned first = FirstClassOf(category);
    return fmt::format("{}\\x{:02x}-\\x{:02x}", ascii, first, first + kSetCombinations - 1);
  };
  switch (property) {
    case 'L':
      return with_ascii("A-Za-z", UnicodeCategory::kLetter);
    case 'E':
      return with_ascii("", UnicodeCategory::kLetter);
    case 'M':
      return with_ascii("", UnicodeCategory::kMark);
    case 'N':
      return with_ascii("0-9", UnicodeCategory::kNumber);
    case 'P':
      return with_ascii(R"(!"#%&'()*,\-./:;?@\[\\\]_{})", UnicodeCategory::kPunctuation);
    default:
      QUERN_DCHECK(property == 'S');
      return with_ascii(R"($+<=>\^`|~)", UnicodeCategory::kSymbol);
  }
}

}  // namespace

std::string ClassAlphabet::Translate(std::string_view pattern) {
  constexpr std::string_view kProperty = R"(\p{?})";
  std::string out;
  bool in_bracket = false;
  Set named;  // non-ASCII characters of this bracket
  for (size_t at = 0; at < pattern.size();) {
    const char c = pattern[at];
    if (pattern.substr(at, 3) == kProperty.substr(0, 3)) {
      const std::string bytes = BytesOfProperty(pattern[at + 3]);
      out += in_bracket ? bytes : "[" + bytes + "]";
      at += kProperty.size();
    } else if (c == '\\') {
      out += pattern.substr(at, 2);
      at += 2;
    } else if (static_cast<unsigned char>(c) >= kFirstClass) {
      QUERN_DCHECK(in_bracket);
      const DecodedCodePoint first = DecodeUtf8(pattern, at);
      at += first.length;
      named.push_back({first.value, first.value});
      if (pattern[at] == '-') {
        const DecodedCodePoint last = DecodeUtf8(pattern, at + 1);
        named.back().last = last.value;
        at += 1 + last.length;
      }
    } else {
      if (c == '[') in_bracket = true;
      if (c == ']') {
        if (!named.empty()) out += AddSet(std::exchange(named, {}));
        in_bracket = false;
      }
      out.push_back(c);
      ++at;
    }
  }
  return out;
}

std::string ClassAlphabet::AddSet(Set set) {
  QUERN_DCHECK(sets_.size() < kMaxSets);
  const unsigned bit = 1U << sets_.size();
  sets_.push_back(std::move(set));
  std::string bytes;
  for (unsigned i = 0; i < kCategories * kSetCombinations; ++i) {
    if ((i & bit) != 0) bytes += fmt::format("\\x{:02x}", kFirstClass + i);
  }
  return bytes;
}

char ClassAlphabet::ClassOf(char32_t code_point) const {
  const UnicodeCategory category = CategoryOf(code_point);
  if (category == UnicodeCategory::kWhitespace) return kNonAsciiWhitespace;
  unsigned value = FirstClassOf(category);
  for (size_t i = 0; i < sets_.size(); ++i) {
    const bool is_in_set = std::any_of(sets_[i].begin(), sets_[i].end(), [&](const Range& range) {
      return range.first <= code_point && code_point <= range.last;
    });
    if (is_in_set) value |= 1U << i;
  }
  return static_cast<char>(value);
}

void ClassAlphabet::AppendClasses(std::string_view text, std::string& classes) const {
  for (size_t at = 0; at < text.size();) {
    if (static_cast<unsigned char>(text[at]) < kFirstClass) {
      classes.push_back(text[at++]);
      continue;
    }
    const auto [value, length] = DecodeUtf8(text, at);
    classes.push_back(ClassOf(value));
    at += length;
  }
}

}  // namespace quern
