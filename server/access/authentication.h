// Who a request is from: a client that sends its key, or one that signs with it.
#pragma once

#include <chrono>
#include <functional>
#include <optional>
#include <tl/expected.hpp>

#include "server/access/access_control.h"
#include "server/access/used_signatures.h"
#include "server/http/http_error.h"
#include "server/http/http_message.h"

namespace quern {

/// Thread-safe. A request that has any of the headers of request_signature.h is a signed one, and
/// whatever key it sends beside them is passed over.
class Authentication {
 public:
  using Clock = std::function<std::chrono::sys_seconds()>;
  static std::chrono::sys_seconds Now();

  /// `window`: how far from now a request may have been signed.
  explicit Authentication(std::chrono::seconds window, Clock now = Now)
      : window_(window), now_(std::move(now)), used_(window, now_()) {}

  /// Why a request is refused whatever its body is.
  std::optional<HttpError> RefusalOfHead(const AccessControl& access,
                                         const HttpRequest& request) const;

  /// Null for a request that needs no key.
  using Caller = tl::expected<const ApiKey*, HttpError>;
  /// The key of a request with its body; `access` owns it. It uses the request's signature.
  Caller Identify(const AccessControl& access, const HttpRequest& request);

 private:
  struct Signed {
    const ApiKey* key;
    std::chrono::sys_seconds at;
    Sha256Digest signature;
  };
  /// What a signed request claims.
  tl::expected<Signed, HttpError> ReadHead(const AccessControl& access,
                                           const HttpRequest& request) const;

  const std::chrono::seconds window_;
  const Clock now_;
  UsedSignatures used_;
};

}  // namespace quern
