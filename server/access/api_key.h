// An API key as the server knows it: a name, a digest in place of the key, and what it may use.
#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "gguf/base/digest.h"
#include "gguf/base/result.h"

namespace quern {

/// So many requests in any stretch of so much time.
struct RequestRate {
  size_t requests = 0;
  std::chrono::seconds window{0};

  bool operator==(const RequestRate&) const = default;
};

/// "60/min": a number, then s, min, h or day. Errors: kInvalidArgument.
Result<RequestRate> ParseRequestRate(std::string_view text);
std::string ToString(const RequestRate& rate);

struct KeyLimits {
  std::optional<RequestRate> rate = std::nullopt;  ///< none: the server's, if it has one
  size_t concurrent = 0;                           ///< most requests at once; 0: no limit
  uint64_t tokens_per_day = 0;  ///< of prompts and answers, by UTC's days; 0: no limit

  bool operator==(const KeyLimits&) const = default;
};

/// Whether requests may be signed with a key, rather than carry it.
enum class Signing : uint8_t {
  kNever,     ///< what is known of the key is too little to check signatures
  kOptional,  ///< either way
  kRequired,  ///< the key itself is not taken
};

class ApiKey {
 public:
  /// Errors: kInvalidArgument for a key that is empty or that no header can carry, and for a name
  /// that is not of 1 to 64 letters, digits, '.', '_' and '-'. The key itself stays out of
  /// messages, which end in logs.
  static Result<ApiKey> Create(std::string name, std::string_view secret, KeyLimits limits = {},
                               Signing signing = Signing::kNever);
  /// A key that nobody can guess, to be told once.
  static std::string NewSecret();

  /// NAME hmac-sha256:SALT:DIGEST [rate=60/min] [concurrent=4] [tokens=100000] [signing=SECRET]
  /// [signed], the last for Signing::kRequired.
  static Result<ApiKey> Parse(std::string_view line);
  std::string Line() const;

  bool Matches(std::string_view secret) const;

  const std::string& name() const { return name_; }
  const KeyLimits& limits() const { return limits_; }
  Signing signing() const { return signing_; }
  /// As SigningSecret has it; unless signing() is kNever.
  const Sha256Digest& signing_secret() const { return signing_secret_; }

 private:
  ApiKey() = default;

  /// What a line says behind the digest.
  Status ParseField(std::string_view word);

  std::string name_;
  KeyLimits limits_;
  std::array<uint8_t, 16> salt_{};  ///< another for each key, so that digests tell of no two alike
  Sha256Digest digest_{};           ///< HmacSha256(salt, key)
  Signing signing_ = Signing::kNever;
  Sha256Digest signing_secret_{};
};

}  // namespace quern
