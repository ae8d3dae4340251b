// The alphabet of byte-level BPE (GPT-2): each byte has one printable character that stands for it
// in vocabulary files.
#pragma once

#include <string>
#include <string_view>

namespace quern {

/// The byte that a character stands for, or -1 for a character outside the alphabet. Bytes that
/// are printable in Latin-1 stand for themselves; the other 68 are U+0100 onwards, in order.
int ByteOfCharacter(char32_t character);

/// Appends the bytes that `text` spells. False, and `out` as it was, when a character is outside
/// the alphabet.
bool AppendSpelledBytes(std::string_view text, std::string& out);

}  // namespace quern
