// Signatures of HTTP requests: which headers tell them, what is signed, and with which secret.
// SIGNATURES.md says the same to clients.
#pragma once

#include <chrono>
#include <optional>
#include <string_view>

#include "gguf/base/digest.h"

namespace quern {

inline constexpr const char* kSignatureKeyHeader = "X-Quern-Key";  ///< the key's name
inline constexpr const char* kSignatureTimeHeader = "X-Quern-Timestamp";
inline constexpr const char* kSignatureHeader = "X-Quern-Signature";

/// What a signature vouches for.
struct SignedRequest {
  std::string_view timestamp;  ///< as its header has it
  std::string_view method;
  std::string_view target;  ///< path and query, as the request line has them
  std::string_view body;
};

/// What a client signs with in place of its API key, and all that a server needs of the key: who
/// reads it in the server's file can sign, but does not learn the key.
Sha256Digest SigningSecret(std::string_view api_key);

Sha256Digest Signature(const Sha256Digest& secret, const SignedRequest& request);

/// Whole seconds of a timestamp: 1 to 10 digits since 1970, behind which '.' and 1 to 9 digits may
/// stand to tell requests of one second apart. Nothing for another text.
std::optional<std::chrono::sys_seconds> ParseSignatureTime(std::string_view text);

}  // namespace quern
