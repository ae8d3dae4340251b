// Which web pages may use the server: cross-origin requests, and pages that pass for local ones.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "gguf/base/result.h"
#include "server/http/http_error.h"

namespace quern {

/// The browser of someone on this machine is inside the firewall and lets any page send requests
/// to it. Three guards stand in its way:
///
/// - Answers of the server carry Access-Control headers for allowed origins alone, so that no other
///   page can read them. No origin is allowed unless the operator names it. Credentials are never
///   allowed: keys travel in headers that scripts set.
/// - A page can send a POST that needs no leave, such as a form or text/plain, and set the server
///   to work without reading the answer. Browsers say where it comes from: a request that may
///   change something is refused if its Origin is neither allowed, nor the server's own (the Host
///   that it names), nor on this machine. Programs send no Origin.
/// - A page can have its own name resolve to 127.0.0.1 and thus be of the server's own origin.
///   Where that would let it in, on a loopback address without keys, the Host must be a loopback
///   name, the address that the server listens on, or the host of an allowed origin. With `*` any
///   page is let in anyway.
class Cors {
 public:
  struct Options {
    /// `scheme://host[:port]`; `localhost` for all pages of this machine; `*` for all.
    std::vector<std::string> origins;
    std::string bound_host;  ///< that the server listens on
    bool has_keys = false;   ///< whether requests need one
  };

  /// Errors: kInvalidArgument naming an origin that is none.
  static Result<Cors> Create(const Options& options);

  struct Decision {
    std::optional<HttpError> refusal;
    bool is_preflight = false;  ///< to be answered here and now with the headers
    std::vector<std::pair<std::string, std::string>> headers;  ///< for the answer, if refused too
  };
  /// `origin` and `host`: header values, "" where absent.
  Decision Decide(std::string_view method, std::string_view origin, std::string_view host) const;

 private:
  Cors() = default;

  bool Allows(std::string_view origin) const;
  bool IsOwnHost(std::string_view host) const;

  std::vector<std::string> origins_;  ///< lower case
  std::vector<std::string> hosts_;    ///< that Host may name beside loopback ones, lower case
  bool any_ = false;
  bool local_ = false;
  bool guards_host_ = false;
};

}  // namespace quern
