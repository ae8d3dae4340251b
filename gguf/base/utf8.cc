#include "gguf/base/utf8.h"

#include <cstdint>
#include <cstring>

namespace quern {
namespace {

constexpr char32_t kMaxCodePoint = 0x10FFFF;

uint8_t ByteAt(std::string_view text, size_t at) { return static_cast<uint8_t>(text[at]); }

bool IsContinuation(uint8_t byte) { return (byte & 0xC0) == 0x80; }

/// Where the run of ASCII that starts at `at` ends.
size_t EndOfAscii(std::string_view text, size_t at) {
  constexpr uint64_t kHighBits = 0x8080808080808080;
  for (uint64_t word = 0; at + sizeof(word) <= text.size(); at += sizeof(word)) {
    std::memcpy(&word, text.data() + at, sizeof(word));
    if ((word & kHighBits) != 0) break;
  }
  while (at < text.size() && ByteAt(text, at) < 0x80) ++at;
  return at;
}

size_t EncodedLength(char32_t code_point) {
  return code_point < 0x80 ? 1 : code_point < 0x800 ? 2 : code_point < 0x10000 ? 3 : 4;
}

enum class Sequence { kWhole, kIllFormed, kUnfinished };

struct ClassifiedSequence {
  Sequence kind;
  size_t length;
};

/// The sequence at text[at] by Unicode's table of well-formed sequences (3-7).
ClassifiedSequence Classify(std::string_view text, size_t at) {
  const uint8_t lead = ByteAt(text, at);
  if (lead < 0x80) return {Sequence::kWhole, 1};
  if (lead < 0xC2 || lead > 0xF4) return {Sequence::kIllFormed, 1};
  const size_t length = Utf8Length(text[at]);
  // Only the second byte's range depends on the lead.
  const uint8_t lowest = lead == 0xE0 ? 0xA0 : lead == 0xF0 ? 0x90 : 0x80;
  const uint8_t highest = lead == 0xED ? 0x9F : lead == 0xF4 ? 0x8F : 0xBF;
  for (size_t i = 1; i < length; ++i) {
    if (at + i == text.size()) return {Sequence::kUnfinished, i};
    const uint8_t byte = ByteAt(text, at + i);
    const bool fits = i == 1 ? lowest <= byte && byte <= highest : IsContinuation(byte);
    if (!fits) return {Sequence::kIllFormed, i};
  }
  return {Sequence::kWhole, length};
}

}  // namespace

DecodedCodePoint DecodeUtf8(std::string_view text, size_t at) {
  constexpr DecodedCodePoint kInvalid = {kReplacementCharacter, 1};
  const uint8_t lead = ByteAt(text, at);
  if (lead < 0x80) return {lead, 1};
  if (lead < 0xC0 || lead >= 0xF8) return kInvalid;
  const size_t length = Utf8Length(text[at]);
  if (text.size() - at < length) return kInvalid;
  char32_t value = lead & (0x7FU >> length);
  for (size_t i = 1; i < length; ++i) {
    const uint8_t byte = ByteAt(text, at + i);
    if (!IsContinuation(byte)) return kInvalid;
    value = value << 6 | (byte & 0x3FU);
  }
  if (value > kMaxCodePoint) return kInvalid;
  return {value, length};
}

void AppendUtf8(char32_t code_point, std::string& out) {
  const auto tail = [&](int shift) {
    out.push_back(static_cast<char>(0x80 | (code_point >> shift & 0x3F)));
  };
  switch (EncodedLength(code_point)) {
    case 1:
      out.push_back(static_cast<char>(code_point));
      break;
    case 2:
      out.push_back(static_cast<char>(0xC0 | code_point >> 6));
      tail(0);
      break;
    case 3:
      out.push_back(static_cast<char>(0xE0 | code_point >> 12));
      tail(6);
      tail(0);
      break;
    default:
      out.push_back(static_cast<char>(0xF0 | code_point >> 18));
      tail(12);
      tail(6);
      tail(0);
  }
}

std::string_view CanonicalUtf8(std::string_view text, std::string& scratch) {
  size_t copied = 0;  // text before this is in scratch, once there is need of it
  bool changed = false;
  for (size_t at = EndOfAscii(text, 0); at < text.size(); at = EndOfAscii(text, at)) {
    const auto [value, length] = DecodeUtf8(text, at);
    if (length != EncodedLength(value)) {
      if (!changed) scratch.clear();
      changed = true;
      scratch.append(text, copied, at - copied);
      AppendUtf8(value, scratch);
      copied = at + length;
    }
    at += length;
  }
  if (!changed) return text;
  scratch.append(text, copied);
  return scratch;
}

std::string TakeWholeUtf8(std::string& pending) {
  std::string whole;
  size_t at = 0;
  while (at < pending.size()) {
    const auto [kind, length] = Classify(pending, at);
    if (kind == Sequence::kUnfinished) break;
    if (kind == Sequence::kWhole) {
      whole.append(pending, at, length);
    } else {
      AppendUtf8(kReplacementCharacter, whole);
    }
    at += length;
  }
  pending.erase(0, at);
  return whole;
}

bool IsValidUtf8(std::string_view text) {
  std::string pending(text);
  return TakeWholeUtf8(pending) == text;
}

}  // namespace quern
