// Who may use the server: API keys, and which addresses may be served without one.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "gguf/result.h"

namespace quern {

/// Keys of a file, one a line; blank lines, lines that begin with `#`, and blanks around a key are
/// passed over. Errors: kNotFound, kIo; kInvalidArgument naming file and line for a key that no
/// client can send, and for a file without a key.
Result<std::vector<std::string>> ReadApiKeyFile(const std::string& path);

/// Whether only this machine reaches `host`: 127.0.0.0/8, ::1, localhost.
bool IsLoopback(std::string_view host);

/// Errors: kInvalidArgument for an address that others reach, when there is neither a key nor
/// `insecure`, the operator's word that this is meant.
Status CheckExposure(std::string_view host, bool has_key, bool insecure);

class AccessControl {
 public:
  /// Errors: kInvalidArgument for a key that is empty or that no client can send.
  static Result<AccessControl> Create(std::vector<std::string> keys);

  /// Whether a request is let in: one with a key of ours, as `Bearer` in Authorization or in
  /// X-Api-Key ("" where a header is absent); any request when there are no keys; /health,
  /// /v1/health and OPTIONS, which browsers send without keys. Compares with every key in full: the
  /// time tells nothing but the length of what was given and the number of keys.
  bool Allows(std::string_view method, std::string_view path, std::string_view authorization,
              std::string_view x_api_key) const;

  bool has_keys() const { return !keys_.empty(); }

 private:
  explicit AccessControl(std::vector<std::string> keys) : keys_(std::move(keys)) {}

  bool Knows(std::string_view given) const;

  std::vector<std::string> keys_;
};

}  // namespace quern
