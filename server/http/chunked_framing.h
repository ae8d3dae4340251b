// Where the parts of a chunked body lie: followed byte by byte, strictly, with a limit.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <tl/expected.hpp>

#include "server/http/http_error.h"

namespace quern {

class ChunkedFraming {
 public:
  explicit ChunkedFraming(size_t max_body_bytes) : max_body_bytes_(max_body_bytes) {}

  /// Follows `bytes` and gives how many of them belong to this body: all, unless it ends in them.
  /// Errors: 400 for what is no chunked body, 413 when its chunks exceed the limit.
  tl::expected<size_t, HttpError> Follow(std::string_view bytes);

  bool ended() const { return state_ == State::kEnded; }

 private:
  enum class State : uint8_t {
    kSize,
    kExtension,
    kSizeEnd,
    kData,
    kDataEnd,
    kDataEnd2,
    kTrailer,
    kTrailerEnd,
    kEnded
  };

  tl::expected<void, HttpError> Step(char byte);
  tl::expected<void, HttpError> EndSize();

  size_t max_body_bytes_;
  State state_ = State::kSize;
  size_t chunk_bytes_ = 0;    ///< left of this chunk
  size_t n_digits_ = 0;       ///< of this chunk's size
  size_t body_bytes_ = 0;     ///< in all chunks so far
  size_t framing_bytes_ = 0;  ///< beside them, since the last chunk
  bool line_is_empty_ = true;
};

}  // namespace quern
