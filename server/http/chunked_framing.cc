#include "server/http/chunked_framing.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace quern {
namespace {

/// Of a size line or a trailer; clients send a few.
constexpr size_t kMaxFramingBytes = 4096;
/// Of a size: more would be 4 GiB.
constexpr size_t kMaxDigits = 8;

tl::unexpected<HttpError> Malformed(const char* expected) {
  return tl::unexpected(
      HttpError{400, fmt::format("the chunked body is malformed: expected {}", expected)});
}

int HexDigit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

}  // namespace

tl::expected<size_t, HttpError> ChunkedFraming::Follow(std::string_view bytes) {
  size_t at = 0;
  while (at < bytes.size() && !ended()) {
    if (state_ == State::kData) {
      const size_t n = std::min(chunk_bytes_, bytes.size() - at);
      at += n;
      chunk_bytes_ -= n;
      if (chunk_bytes_ == 0) state_ = State::kDataEnd;
      continue;
    }
    if (++framing_bytes_ > kMaxFramingBytes) return Malformed("shorter lines");
    if (auto step = Step(bytes[at]); !step) return tl::unexpected(std::move(step.error()));
    ++at;
  }
  return at;
}

tl::expected<void, HttpError> ChunkedFraming::Step(char byte) {
  switch (state_) {
    case State::kSize: {
      const int digit = HexDigit(byte);
      if (digit >= 0 && n_digits_ < kMaxDigits) {
        chunk_bytes_ = chunk_bytes_ * 16 + static_cast<size_t>(digit);
        ++n_digits_;
      } else if (n_digits_ == 0 || digit >= 0) {
        return Malformed("a size of one to eight hexadecimal digits");
      } else if (byte == '\r') {
        state_ = State::kSizeEnd;
      } else if (byte == ';') {
        state_ = State::kExtension;
      } else {
        return Malformed("a line end after the size");
      }
      return {};
    }
    case State::kExtension:
      if (byte == '\r') state_ = State::kSizeEnd;
      if (byte == '\n') return Malformed("a carriage return before the line feed");
      return {};
    case State::kSizeEnd:
      if (byte != '\n') return Malformed("a line feed after the carriage return");
      return EndSize();
    case State::kDataEnd:
      if (byte != '\r') return Malformed("a line end after the chunk");
      state_ = State::kDataEnd2;
      return {};
    case State::kDataEnd2:
      if (byte != '\n') return Malformed("a line end after the chunk");
      state_ = State::kSize;
      n_digits_ = 0;
      framing_bytes_ = 0;
      return {};
    case State::kTrailer:
      if (byte == '\n') return Malformed("a carriage return before the line feed");
      if (byte == '\r') {
        state_ = State::kTrailerEnd;
      } else {
        line_is_empty_ = false;
      }
      return {};
    case State::kTrailerEnd:
      if (byte != '\n') return Malformed("a line feed after the carriage return");
      state_ = line_is_empty_ ? State::kEnded : State::kTrailer;
      line_is_empty_ = true;
      return {};
    case State::kData:
    case State::kEnded:
      break;
  }
  return {};
}

tl::expected<void, HttpError> ChunkedFraming::EndSize() {
  body_bytes_ += chunk_bytes_;
  if (body_bytes_ > max_body_bytes_) {
    return tl::unexpected(
        HttpError{413, fmt::format("the body has {} bytes or more, at most {} are allowed",
                                   body_bytes_, max_body_bytes_)});
  }
  state_ = chunk_bytes_ > 0 ? State::kData : State::kTrailer;
  return {};
}

}  // namespace quern
