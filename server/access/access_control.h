// Who may use the server: API keys, and which addresses may be served without one.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "gguf/base/result.h"
#include "server/access/api_key.h"

namespace quern {

/// Whether only this machine reaches `host`: 127.0.0.0/8, ::1, localhost.
bool IsLoopback(std::string_view host);

/// Errors: kInvalidArgument for an address that others reach, when there is neither a key nor
/// `insecure`, the operator's word that this is meant.
Status CheckExposure(std::string_view host, bool has_key, bool insecure);

class AccessControl {
 public:
  AccessControl() = default;
  explicit AccessControl(std::vector<ApiKey> keys) : keys_(std::move(keys)) {}

  /// Whether a request needs no key: any when there are none; /health, /v1/health and OPTIONS,
  /// which browsers send without keys.
  bool IsOpen(std::string_view method, std::string_view path) const;

  /// The key that a request has, as `Bearer` in Authorization or in X-Api-Key ("" where a header is
  /// absent). Null for none of ours. Compares with every key: the time tells nothing but the length
  /// of what was given and the number of keys.
  const ApiKey* Find(std::string_view authorization, std::string_view x_api_key) const;
  /// Null for none of ours.
  const ApiKey* FindByName(std::string_view name) const;

  bool has_keys() const { return !keys_.empty(); }

 private:
  std::vector<ApiKey> keys_;
};

}  // namespace quern
