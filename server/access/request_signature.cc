#include "server/access/request_signature.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cstdint>

namespace quern {
namespace {

constexpr std::string_view kSecretPurpose = "quern-signature-v1";
constexpr size_t kMaxSecondDigits = 10;
constexpr size_t kMaxFractionDigits = 9;

bool AreDigits(std::string_view text, size_t most) {
  return !text.empty() && text.size() <= most &&
         std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
}

std::span<const uint8_t> BytesOf(std::string_view text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}

}  // namespace

Sha256Digest SigningSecret(std::string_view api_key) {
  return HmacSha256(BytesOf(api_key), kSecretPurpose);
}

Sha256Digest Signature(const Sha256Digest& secret, const SignedRequest& request) {
  return HmacSha256(secret, fmt::format("{}\n{}\n{}\n{}", request.timestamp, request.method,
                                        request.target, Hex(Sha256(request.body))));
}

std::optional<std::chrono::sys_seconds> ParseSignatureTime(std::string_view text) {
  const size_t point = std::min(text.find('.'), text.size());
  const std::string_view whole = text.substr(0, point);
  if (!AreDigits(whole, kMaxSecondDigits)) return std::nullopt;
  if (point < text.size() && !AreDigits(text.substr(point + 1), kMaxFractionDigits)) {
    return std::nullopt;
  }
  int64_t seconds = 0;
  std::from_chars(whole.data(), whole.data() + whole.size(), seconds);
  return std::chrono::sys_seconds(std::chrono::seconds(seconds));
}

}  // namespace quern
