#include "runtime/text/byte_alphabet.h"

#include <array>
#include <cstddef>
#include <cstdint>

#include "gguf/base/utf8.h"

namespace quern {
namespace {

constexpr int kBytes = 256;
constexpr int kUnprintableBytes = 68;

constexpr bool IsPrintable(int byte) {
  return (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte != 0xAD);
}

constexpr std::array<int16_t, kBytes + kUnprintableBytes> MakeByteOfCharacter() {
  std::array<int16_t, kBytes + kUnprintableBytes> bytes{};
  int next_substitute = kBytes;
  for (int byte = 0; byte < kBytes; ++byte) {
    bytes[byte] = -1;
    bytes[IsPrintable(byte) ? byte : next_substitute++] = static_cast<int16_t>(byte);
  }
  return bytes;
}

constexpr auto kByteOfCharacter = MakeByteOfCharacter();

}  // namespace

int ByteOfCharacter(char32_t character) {
  return character < kByteOfCharacter.size() ? kByteOfCharacter[character] : -1;
}

bool AppendSpelledBytes(std::string_view text, std::string& out) {
  const size_t size_before = out.size();
  for (size_t at = 0; at < text.size();) {
    const auto [character, length] = DecodeUtf8(text, at);
    const int byte = ByteOfCharacter(character);
    if (byte < 0) {
      out.resize(size_before);
      return false;
    }
    out.push_back(static_cast<char>(byte));
    at += length;
  }
  return true;
}

}  // namespace quern
