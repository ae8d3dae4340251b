// libFuzzer target of HTTP's framing: any head is read in one way or refused, and a chunked body
// ends at the same byte however it arrives.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <string>
#include <string_view>

#include "gguf/base/printable.h"
#include "server/http/chunked_framing.h"
#include "server/http/request_head.h"

extern "C" size_t LLVMFuzzerMutate(uint8_t* data, size_t size, size_t max_size);

namespace quern {
namespace {

// For mutation to start from.
constexpr std::string_view kHead =
    "POST /v1/completions?a=b HTTP/1.1\r\nHost: localhost:8080\r\nContent-Length: 12\r\n"
    "X-Api-Key: a%41 b\r\nConnection: close\r\n\r\n";
constexpr std::string_view kChunks =
    "5\r\nhello\r\nA;x=\"y\"\r\n0123456789\r\n0\r\nTransfer-Encoding: chunked\r\n\r\nrest";

void Require(bool condition) {
  if (!condition) std::abort();
}

void RequireError(const HttpError& error) {
  Require(error.status >= 400 && error.status < 500);
  Require(!error.message.empty() && error.message.size() < 1000);
  std::string message = error.message;
  std::erase(message, '\\');
  Require(Printable(message, message.size()) == message);
}

void TestHead(std::string_view text) {
  const ConnectionLimits limits;
  const auto head = ParseRequestHead(text, limits);
  if (!head) return RequireError(head.error());
  Require(head->content_length <= limits.max_body_bytes);
  Require(!head->chunked || head->content_length == 0);
  // One empty line, at the end, and no line ends but whole ones.
  Require(head->text.find("\r\n\r\n") == head->text.size() - 4);
  Require(std::count(head->text.begin(), head->text.end(), '\r') ==
          std::count(head->text.begin(), head->text.end(), '\n'));
  const auto again = ParseRequestHead(head->text, limits);
  Require(again.has_value());
  Require(again->chunked == head->chunked && again->content_length == head->content_length);
}

struct Followed {
  size_t bytes = 0;
  bool ended = false;
  int error = 0;
  bool operator==(const Followed&) const = default;
};

Followed Follow(std::string_view body, size_t piece) {
  ChunkedFraming framing(1000);
  Followed followed;
  while (followed.bytes < body.size() && !framing.ended()) {
    const auto n = framing.Follow(body.substr(followed.bytes, piece));
    if (!n) {
      RequireError(n.error());
      return {0, false, n.error().status};
    }
    followed.bytes += *n;
  }
  followed.ended = framing.ended();
  return followed;
}

}  // namespace
}  // namespace quern

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  quern::TestHead(text);
  quern::Require(quern::Follow(text, 1) == quern::Follow(text, text.size()));
  return 0;
}

extern "C" size_t LLVMFuzzerCustomMutator(uint8_t* data, size_t size, size_t max_size,
                                          unsigned int seed) {
  constexpr size_t kLeastBytes = 2;
  if (size < kLeastBytes) {
    const std::string_view start = seed % 2 == 0 ? quern::kHead : quern::kChunks;
    size = std::min(start.size(), max_size);
    std::memcpy(data, start.data(), size);
  }
  return LLVMFuzzerMutate(data, size, max_size);
}
