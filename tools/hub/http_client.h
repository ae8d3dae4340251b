// HTTP GET for the hub: follows redirects itself, so that a token stays with the server that it is
// for. The one file that knows libcurl.
#pragma once

#include <atomic>
#include <cstddef>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>

namespace quern {

struct HubRequest {
  std::string url;
  std::string token = {};     ///< for the origin of `url` alone; empty: none
  std::string range = {};     ///< "0-99", as in the Range header; empty: all
  std::string if_range = {};  ///< the ETag that a range must belong to; empty: any
};

enum class HttpEnding {
  kWhole,    ///< the answer came to its end
  kStopped,  ///< the receiver wanted no more
  kCut,      ///< the network failed: another try may do better
  kRefused   ///< it breaks a rule: another try would end in the same way
};

struct HttpResponse {
  int status = 0;  ///< 0: no answer came
  /// Names in lower case. Those that begin with "x-linked-" may come from an answer that led here.
  std::map<std::string, std::string, std::less<>> headers;
  HttpEnding ending = HttpEnding::kWhole;
  std::string problem;  ///< what cut or refused it, in words

  /// Empty when there is no such header.
  std::string_view Header(std::string_view name) const;
};

/// One connection at a time, kept between requests. Not for use by several threads at once.
class HttpClient {
 public:
  /// Gets a piece of the body of the last answer, redirects left out; false ends the transfer.
  using Receiver = std::function<bool(const HttpResponse& head, std::span<const std::byte> bytes)>;

  HttpClient();
  ~HttpClient();
  HttpClient(const HttpClient&) = delete;
  HttpClient& operator=(const HttpClient&) = delete;

  /// A transfer also ends when `stop` is set, within about a second. Messages and problems never
  /// contain the token.
  HttpResponse Get(const HubRequest& request, const Receiver& receiver,
                   const std::atomic<bool>* stop = nullptr);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

/// Every byte that has a meaning in URLs is escaped, except for '/' where `keep_slashes`.
std::string UrlEscaped(std::string_view text, bool keep_slashes);

}  // namespace quern
