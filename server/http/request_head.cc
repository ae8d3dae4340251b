#include "server/http/request_head.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <utility>

#include "gguf/base/lower_ascii.h"
#include "gguf/base/printable.h"

namespace quern {
namespace {

constexpr std::string_view kLineEnd = "\r\n";
/// The library's reader takes no longer line.
constexpr size_t kMaxLineBytes = 8192;

template <typename... Args>
tl::unexpected<HttpError> Refuse(int status, fmt::format_string<Args...> format, Args&&... args) {
  return tl::unexpected(HttpError{status, fmt::format(format, std::forward<Args>(args)...)});
}

bool IsAlphanumeric(char c) {
  return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
}

/// RFC 9110, 5.6.2.
bool IsToken(std::string_view text) {
  constexpr std::string_view kMarks = "!#$%&'*+-.^_`|~";
  return !text.empty() && std::all_of(text.begin(), text.end(), [&](char c) {
    return IsAlphanumeric(c) || kMarks.find(c) != std::string_view::npos;
  });
}

bool IsControl(char c) {
  const auto byte = static_cast<unsigned char>(c);
  return (byte < 0x20 && c != '\t') || byte == 0x7f;
}

std::string_view Trim(std::string_view text) {
  const size_t begin = text.find_first_not_of(" \t");
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(" \t") - begin + 1);
}

class Parser {
 public:
  explicit Parser(const ConnectionLimits& limits) : limits_(limits) {}

  tl::expected<void, HttpError> RequestLine(std::string_view line) {
    if (line.size() > kMaxLineBytes - kLineEnd.size()) {
      return Refuse(414, "the request line has more than {} bytes", kMaxLineBytes);
    }
    const size_t method_end = line.find(' ');
    const size_t target_end = line.rfind(' ');
    const std::string_view method = line.substr(0, method_end);
    if (method_end == target_end || !IsToken(method)) {
      return Refuse(400, "the request line is {}, expected a method, a target and a version",
                    Quoted(line));
    }
    const std::string_view target = line.substr(method_end + 1, target_end - method_end - 1);
    const std::string_view version = line.substr(target_end + 1);
    if (version != "HTTP/1.1" && version != "HTTP/1.0") {
      return Refuse(400, "the request's version is {}, expected HTTP/1.1", Quoted(version));
    }
    if (target.empty() || target.find_first_of(" \t") != std::string_view::npos) {
      return Refuse(400, "the request's target is {}, expected a path", Quoted(target));
    }
    constexpr std::array kMethods = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"};
    if (std::find(kMethods.begin(), kMethods.end(), method) == kMethods.end()) {
      return Refuse(405, "the method is {}, expected GET or POST", Quoted(method));
    }
    is_http_1_0_ = version == "HTTP/1.0";
    head_.text.append(line).append(kLineEnd);
    return {};
  }

  tl::expected<void, HttpError> Field(std::string_view line) {
    if (++n_fields_ > limits_.max_head_fields || line.size() > kMaxLineBytes - kLineEnd.size()) {
      return Refuse(431, "the request has more than {} header fields or one of more than {} bytes",
                    limits_.max_head_fields, kMaxLineBytes);
    }
    const size_t colon = line.find(':');
    const std::string_view name = line.substr(0, colon);
    // A name that begins with a space would continue the line before.
    if (colon == std::string_view::npos || !IsToken(name)) {
      return Refuse(400, "a header field is {}, expected a name, a colon and a value",
                    Quoted(line));
    }
    const std::string_view value = Trim(line.substr(colon + 1));
    const std::string lower = LowerAscii(name);
    if (lower == "host") ++n_hosts_;
    if (lower == "transfer-encoding") {
      if (head_.chunked || LowerAscii(value) != "chunked") {
        return Refuse(400, "Transfer-Encoding is {}, expected chunked, once", Quoted(value));
      }
      head_.chunked = true;
    }
    if (lower == "content-length") {
      if (auto read = Length(value); !read) return read;
    }
    head_.text.append(name).append(": ");
    // The library's reader decodes %XX in values, which HTTP does not know: keys would change.
    for (const char c : value) {
      head_.text += c;
      if (c == '%') head_.text += "25";
    }
    head_.text.append(kLineEnd);
    return {};
  }

  tl::expected<RequestHead, HttpError> Finish() {
    if (has_length_ && head_.chunked) {
      return Refuse(400, "the request has both Content-Length and Transfer-Encoding");
    }
    if (head_.chunked && is_http_1_0_) {
      return Refuse(400, "the request has Transfer-Encoding, which HTTP/1.0 does not know");
    }
    if (n_hosts_ > 1 || (n_hosts_ == 0 && !is_http_1_0_)) {
      return Refuse(400, "the request has {} Host fields, expected 1", n_hosts_);
    }
    if (head_.content_length > limits_.max_body_bytes) {
      return Refuse(413, "the body has {} bytes, at most {} are allowed", head_.content_length,
                    limits_.max_body_bytes);
    }
    head_.text.append(kLineEnd);
    return std::move(head_);
  }

 private:
  tl::expected<void, HttpError> Length(std::string_view value) {
    const char* const end = value.data() + value.size();
    const auto [at, error] = std::from_chars(value.data(), end, head_.content_length);
    if (error == std::errc::result_out_of_range && at == end) {
      return Refuse(413, "the body has {} bytes, at most {} are allowed", Printable(value),
                    limits_.max_body_bytes);
    }
    if (has_length_ || error != std::errc() || at != end) {
      return Refuse(400, "Content-Length is {}, expected a number of bytes, once", Quoted(value));
    }
    has_length_ = true;
    return {};
  }

  const ConnectionLimits& limits_;
  RequestHead head_;
  bool is_http_1_0_ = false;
  bool has_length_ = false;
  size_t n_fields_ = 0;
  size_t n_hosts_ = 0;
};

}  // namespace

tl::expected<RequestHead, HttpError> ParseRequestHead(std::string_view text,
                                                      const ConnectionLimits& limits) {
  Parser parser(limits);
  bool first = true;
  while (true) {
    const std::string_view line = text.substr(0, text.find(kLineEnd));
    if (line.size() == text.size()) return Refuse(400, "the request has no end of its head");
    if (std::any_of(line.begin(), line.end(), IsControl)) {
      return Refuse(400, "the request's head has a control character: {}", Quoted(line));
    }
    text.remove_prefix(line.size() + kLineEnd.size());
    if (!first && line.empty()) return parser.Finish();
    if (auto read = std::exchange(first, false) ? parser.RequestLine(line) : parser.Field(line);
        !read) {
      return tl::unexpected(std::move(read.error()));
    }
  }
}

}  // namespace quern
