#include "server/access/access_control.h"

#include <arpa/inet.h>

#include <algorithm>

#include "gguf/base/lower_ascii.h"

namespace quern {
namespace {

constexpr std::string_view kBearer = "bearer ";

}  // namespace

bool IsLoopback(std::string_view host) {
  if (LowerAscii(host) == "localhost") return true;
  const std::string text(host);
  in_addr v4{};
  if (inet_pton(AF_INET, text.c_str(), &v4) == 1) return ntohl(v4.s_addr) >> 24 == 127;
  in6_addr v6{};
  return inet_pton(AF_INET6, text.c_str(), &v6) == 1 && IN6_IS_ADDR_LOOPBACK(&v6);
}

Status CheckExposure(std::string_view host, bool has_key, bool insecure) {
  if (IsLoopback(host) || has_key || insecure) return {};
  return Fail(ErrorCode::kInvalidArgument,
              "{} can be reached from other machines: that needs an API key (--api-key or "
              "--api-key-file), or --insecure to let everyone in",
              host);
}

bool AccessControl::IsOpen(std::string_view method, std::string_view path) const {
  return keys_.empty() || path == "/health" || path == "/v1/health" || method == "OPTIONS";
}

const ApiKey* AccessControl::Find(std::string_view authorization,
                                  std::string_view x_api_key) const {
  const bool is_bearer = LowerAscii(authorization.substr(0, kBearer.size())) == kBearer;
  const std::string_view given = is_bearer ? authorization.substr(kBearer.size()) : x_api_key;
  const ApiKey* found = nullptr;
  for (const ApiKey& key : keys_) {
    if (key.Matches(given)) found = &key;
  }
  return found;
}

const ApiKey* AccessControl::FindByName(std::string_view name) const {
  const auto found = std::find_if(keys_.begin(), keys_.end(),
                                  [&](const ApiKey& key) { return key.name() == name; });
  return found == keys_.end() ? nullptr : &*found;
}

}  // namespace quern
