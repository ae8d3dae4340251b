#include "server/access/authentication.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <string>
#include <utility>

#include "gguf/base/printable.h"
#include "server/access/request_signature.h"

namespace quern {
namespace {

using std::chrono::sys_seconds;

constexpr std::array kHeaders = {kSignatureKeyHeader, kSignatureTimeHeader, kSignatureHeader};

bool IsSigned(const HttpRequest& request) {
  return std::any_of(kHeaders.begin(), kHeaders.end(),
                     [&](const char* header) { return request.headers.Has(header); });
}

tl::unexpected<HttpError> Unauthorized(std::string message) {
  return tl::unexpected(HttpError{401, std::move(message)});
}

/// One answer to unknown names, to keys that do not sign and to wrong signatures, so that it tells
/// strangers no names.
tl::unexpected<HttpError> NoSignature() {
  return Unauthorized(fmt::format(
      "no valid signature: {} names no key that signs, or {} is not what it gives for this request",
      kSignatureKeyHeader, kSignatureHeader));
}

Authentication::Caller FindSent(const AccessControl& access, const HttpRequest& request) {
  const ApiKey* key =
      access.Find(request.headers.Get("Authorization"), request.headers.Get("X-Api-Key"));
  if (access.IsOpen(request.method, request.path)) return key;
  if (key == nullptr) return Unauthorized("no valid API key");
  if (key->signing() == Signing::kRequired) {
    return Unauthorized(
        fmt::format("requests with this key must be signed ({})", kSignatureHeader));
  }
  return key;
}

}  // namespace

sys_seconds Authentication::Now() {
  return std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now());
}

std::optional<HttpError> Authentication::RefusalOfHead(const AccessControl& access,
                                                       const HttpRequest& request) const {
  if (access.IsOpen(request.method, request.path)) return std::nullopt;
  if (IsSigned(request)) {
    auto head = ReadHead(access, request);
    return head ? std::nullopt : std::optional(std::move(head.error()));
  }
  Caller caller = FindSent(access, request);
  return caller ? std::nullopt : std::optional(std::move(caller.error()));
}

Authentication::Caller Authentication::Identify(const AccessControl& access,
                                                const HttpRequest& request) {
  if (!IsSigned(request)) return FindSent(access, request);
  if (access.IsOpen(request.method, request.path)) return nullptr;
  auto head = ReadHead(access, request);
  if (!head) return tl::unexpected(std::move(head.error()));
  const std::string timestamp = request.headers.Get(kSignatureTimeHeader);
  const Sha256Digest right = Signature(head->key->signing_secret(), {.timestamp = timestamp,
                                                                     .method = request.method,
                                                                     .target = request.target,
                                                                     .body = request.body});
  if (!AreEqual(head->signature, right)) return NoSignature();
  if (auto refusal = used_.Use(head->key->name(), head->at, head->signature, now_())) {
    return tl::unexpected(*std::move(refusal));
  }
  return head->key;
}

tl::expected<Authentication::Signed, HttpError> Authentication::ReadHead(
    const AccessControl& access, const HttpRequest& request) const {
  for (const char* header : kHeaders) {
    if (request.headers.Count(header) == 1) continue;
    return Unauthorized(
        fmt::format("a signed request has {}, {} and {} once each, this one has {} "
                    "{} times",
                    kHeaders[0], kHeaders[1], kHeaders[2], header, request.headers.Count(header)));
  }
  Signed head{};
  const std::string timestamp = request.headers.Get(kSignatureTimeHeader);
  const std::optional<sys_seconds> at = ParseSignatureTime(timestamp);
  if (!at) {
    return Unauthorized(fmt::format("{} is {}, expected seconds since 1970 such as 1764086400.25",
                                    kSignatureTimeHeader, Quoted(timestamp)));
  }
  head.at = *at;
  const auto late = now_() - head.at;
  if (late > window_ || -late > window_) {
    return Unauthorized(fmt::format("{} is {} s {} the server's time, expected at most {}",
                                    kSignatureTimeHeader, std::chrono::abs(late).count(),
                                    late.count() > 0 ? "before" : "after", window_.count()));
  }
  if (!ParseHex(request.headers.Get(kSignatureHeader), head.signature)) {
    return Unauthorized(fmt::format("{} is no signature, expected {} hex digits", kSignatureHeader,
                                    2 * head.signature.size()));
  }
  head.key = access.FindByName(request.headers.Get(kSignatureKeyHeader));
  if (head.key == nullptr || head.key->signing() == Signing::kNever) return NoSignature();
  return head;
}

}  // namespace quern
