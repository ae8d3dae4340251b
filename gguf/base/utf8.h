// UTF-8 by hand: decoding as vocabularies expect it, repair of invalid bytes, and the cut between
// whole and unfinished sequences of a stream.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace quern {

constexpr char32_t kReplacementCharacter = 0xFFFD;

struct DecodedCodePoint {
  char32_t value;  ///< U+FFFD for a byte that starts no sequence
  size_t length;   ///< bytes taken from the text, at least 1
};

/// The code point at text[at]. Sequences are told by their lead byte and by continuation bytes
/// alone: surrogates and overlong forms decode to their value, as llama.cpp's tokenizers take them.
/// Any other invalid byte is U+FFFD on its own.
DecodedCodePoint DecodeUtf8(std::string_view text, size_t at);

void AppendUtf8(char32_t code_point, std::string& out);

/// `text` with each code point that DecodeUtf8 finds written in its shortest form. Valid text is
/// returned as it is; else the result lies in `scratch`.
std::string_view CanonicalUtf8(std::string_view text, std::string& scratch);

/// Bytes of the sequence that starts with this byte of canonical text.
inline size_t Utf8Length(char lead) {
  const auto byte = static_cast<unsigned char>(lead);
  return byte < 0x80 ? 1 : byte < 0xE0 ? 2 : byte < 0xF0 ? 3 : 4;
}

/// Takes from the front of `pending` all that further bytes cannot change, and leaves an unfinished
/// sequence there. Each maximal ill-formed part becomes one U+FFFD (Unicode, section 3.9).
std::string TakeWholeUtf8(std::string& pending);

/// Whether TakeWholeUtf8 would take all of `text` and change nothing.
bool IsValidUtf8(std::string_view text);

}  // namespace quern
