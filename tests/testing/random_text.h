// Random texts that are hard on tokenizers: all planes of Unicode, invalid UTF-8, long runs, and
// words, numbers, spaces and special tokens in any mixture.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "gguf/base/utf8.h"

namespace quern::testing {

class RandomText {
 public:
  /// `specials` are texts of special tokens to put in between.
  RandomText(uint32_t seed, std::vector<std::string> specials)
      : random_(seed), specials_(std::move(specials)) {}

  std::string Next() {
    switch (Below(6)) {
      case 0:
        return Repeat(1 + Below(30), [&](std::string& out) { AppendUtf8(CodePoint(), out); });
      case 1:
        return Repeat(1 + Below(40), [&](std::string& out) { AppendByte(0, 256, out); });
      case 2: {
        static constexpr std::string_view kRuns[] = {" ", "0", "7",    "\n", "a",
                                                     "A", "=", "  \n", "\t"};
        static constexpr std::string_view kEnds[] = {"", "x", " x", "1"};
        std::string out =
            Repeat(1 + Below(200), [run = Pick(kRuns)](std::string& text) { text += run; });
        return out += Pick(kEnds);
      }
      default:
        return Repeat(1 + Below(20), [&](std::string& out) { AppendPart(out); });
    }
  }

 private:
  size_t Below(size_t n) { return random_() % n; }

  template <typename Texts>
  std::string_view Pick(const Texts& texts) {
    return texts[Below(std::size(texts))];
  }

  template <typename Append>
  std::string Repeat(size_t times, const Append& append) {
    std::string out;
    for (size_t i = 0; i < times; ++i) append(out);
    return out;
  }

  void AppendByte(unsigned first, unsigned end, std::string& out) {
    out.push_back(static_cast<char>(first + Below(end - first)));
  }

  /// No surrogate. The parts of each plane that hold characters are likelier than the rest.
  char32_t CodePoint() {
    struct Range {
      char32_t first;
      char32_t end;
    };
    static constexpr Range kRanges[] = {
        {0x20, 0x7F},       {0x80, 0x800},      {0x800, 0xD800},
        {0xE000, 0x10000},  {0x10000, 0x14000}, {0x1D400, 0x1FC00},
        {0x20000, 0x33000}, {0xE0000, 0xE0200}, {0x10000, 0x110000}};
    const Range& range = kRanges[Below(std::size(kRanges))];
    return range.first + static_cast<char32_t>(Below(range.end - range.first));
  }

  void AppendPart(std::string& out) {
    static constexpr std::string_view kWords[] = {"the",
                                                  "of",
                                                  "Hello",
                                                  "world",
                                                  "tokenizer",
                                                  "antidisestablishmentarianism",
                                                  "Quern",
                                                  "INT8",
                                                  "don",
                                                  "camelCaseWord",
                                                  "http://example.org/a?b=c",
                                                  "e-mail",
                                                  "naïve",
                                                  "straße",
                                                  "Ελλάδα",
                                                  "Москва",
                                                  "日本語のテキスト",
                                                  "中文分词",
                                                  "한국어",
                                                  "भारत",
                                                  "ประเทศไทย",
                                                  "العربية",
                                                  "עברית",
                                                  "👍🏽",
                                                  "😀",
                                                  "ⅷ",
                                                  "½",
                                                  "٣٤",
                                                  "x\u0301",
                                                  "\u200d"};
    static constexpr std::string_view kApostrophes[] = {"'s", "'S", "'re", "'LL", "'t", "'Ve",
                                                        "'",  "'d", "'x",  "’s",  "'ſ"};
    static constexpr std::string_view kSpaces[] = {"\n",     "\r\n",   "\t",     "\n\n",  "\r",
                                                   "\v",     "\f",     "\x1c",   " \n ",  "\u0085",
                                                   "\u00a0", "\u2028", "\u3000", "\u1680"};
    static constexpr std::string_view kBroken[] = {"\xc0\x80", "\xed\xa0\x80", "\xe4\xb8",
                                                   "\xff",     "\xf0\x9f\x98", "\xe0\x80\xaf",
                                                   "\x80\x80", "\xc3"};
    switch (Below(12)) {
      case 0:
        AppendUtf8(CodePoint(), out);
        break;
      case 1:
        out.append(1 + Below(8), ' ');
        break;
      case 2:
        for (size_t n = 1 + Below(8); n > 0; --n) AppendByte('0', '9' + 1, out);
        break;
      case 3:
        out += Pick(kApostrophes);
        break;
      case 4:
        out += Pick(kSpaces);
        break;
      case 5:
        for (size_t n = 1 + Below(5); n > 0; --n) AppendByte('!', '~' + 1, out);
        break;
      case 6:
        if (!specials_.empty()) out += Pick(specials_);
        break;
      case 7:
        AppendByte(0, 256, out);
        break;
      case 8:
        out += Pick(kBroken);
        break;
      default:
        if (Below(2) == 0) out.push_back(' ');
        out += Pick(kWords);
    }
  }

  std::mt19937 random_;
  std::vector<std::string> specials_;
};

/// Whether `text` holds a sequence of the form of UTF-8 above U+10FFFF. It ends llama.cpp.
inline bool IsAboveUnicode(std::string_view text) {
  for (size_t i = 0; i + 4 <= text.size(); ++i) {
    const auto byte = [&](size_t at) { return static_cast<unsigned char>(text[i + at]); };
    const auto continues = [&](size_t at) { return (byte(at) & 0xC0) == 0x80; };
    const bool is_large = byte(0) > 0xF4 || (byte(0) == 0xF4 && byte(1) > 0x8F);
    if (is_large && byte(0) < 0xF8 && continues(1) && continues(2) && continues(3)) return true;
  }
  return false;
}

}  // namespace quern::testing
