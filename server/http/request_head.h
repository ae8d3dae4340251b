// The head of an HTTP/1 request, read strictly: what two readers could take for different requests
// is refused.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <tl/expected.hpp>

#include "server/http/connection_limits.h"
#include "server/http/http_error.h"

namespace quern {

struct RequestHead {
  std::string text;  ///< for the library's reader, which is left nothing to guess
  bool chunked = false;
  uint64_t content_length = 0;  ///< bytes of the body; 0 if it is chunked
};

/// `text`: from the request line to the empty line, both included. Errors: 400 for what RFC 9112
/// does not allow, two lengths of one body above all; 405 for methods that no route can have; 413,
/// 414 and 431 beyond the limits.
tl::expected<RequestHead, HttpError> ParseRequestHead(std::string_view text,
                                                      const ConnectionLimits& limits);

}  // namespace quern
