#include "gguf/base/printable.h"

#include <fmt/format.h>

#include <cstdint>
#include <iterator>

namespace quern {
namespace {

struct CodePoint {
  uint32_t value;
  size_t length;  ///< bytes it takes, 0 when the bytes are not UTF-8
};

CodePoint Decode(std::string_view text) {
  const auto byte = [&](size_t i) { return static_cast<uint8_t>(text[i]); };
  if (text.empty()) return {0, 0};
  if (byte(0) < 0x80) return {byte(0), 1};
  const size_t length = byte(0) >= 0xf0 ? 4 : byte(0) >= 0xe0 ? 3 : 2;
  if (byte(0) < 0xc2 || byte(0) > 0xf4 || text.size() < length) return {0, 0};
  uint32_t value = byte(0) & (0xffU >> (length + 1));
  for (size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xc0) != 0x80) return {0, 0};
    value = value << 6 | (byte(i) & 0x3fU);
  }
  const bool overlong = (length == 3 && value < 0x800) || (length == 4 && value < 0x10000);
  const bool surrogate = value >= 0xd800 && value <= 0xdfff;
  if (overlong || surrogate || value > 0x10ffff) return {0, 0};
  return {value, length};
}

/// Characters that would move the cursor, break the line or reorder the text around them.
bool IsUnsafe(uint32_t value) {
  return value < 0x20 || (value >= 0x7f && value < 0xa0) || (value >= 0x200e && value <= 0x200f) ||
         (value >= 0x2028 && value <= 0x202e) || (value >= 0x2066 && value <= 0x2069) ||
         value == 0xfeff;
}

void AppendEscaped(std::string& out, std::string_view bytes) {
  if (bytes == "\n") {
    out += "\\n";
  } else if (bytes == "\r") {
    out += "\\r";
  } else if (bytes == "\t") {
    out += "\\t";
  } else {
    for (const char c : bytes) {
      fmt::format_to(std::back_inserter(out), "\\x{:02x}", static_cast<uint8_t>(c));
    }
  }
}

std::string Escape(std::string_view text, size_t max_bytes, bool escape_quotes) {
  std::string out;
  for (size_t i = 0; i < text.size();) {
    const CodePoint point = Decode(text.substr(i, 4));
    const size_t length = point.length == 0 ? 1 : point.length;
    if (i + length > max_bytes) return out + "...";
    const std::string_view bytes = text.substr(i, length);
    if (point.length == 0 || IsUnsafe(point.value)) {
      AppendEscaped(out, bytes);
    } else {
      if (bytes == "\\" || (escape_quotes && bytes == "'")) out += '\\';
      out += bytes;
    }
    i += length;
  }
  return out;
}

}  // namespace

size_t Utf8SequenceLength(std::string_view text) { return Decode(text).length; }

std::string Printable(std::string_view text, size_t max_bytes) {
  return Escape(text, max_bytes, /*escape_quotes=*/false);
}

std::string Quoted(std::string_view text, size_t max_bytes) {
  return fmt::format("'{}'", Escape(text, max_bytes, /*escape_quotes=*/true));
}

}  // namespace quern
