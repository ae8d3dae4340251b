#include "server/access/api_key.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <utility>
#include <vector>

#include "gguf/base/base64.h"
#include "gguf/base/line_file.h"
#include "gguf/base/operator_name.h"
#include "gguf/base/parse_number.h"
#include "gguf/base/printable.h"
#include "server/access/request_signature.h"

namespace quern {
namespace {

using std::chrono::seconds;

constexpr std::string_view kScheme = "hmac-sha256:";
constexpr std::string_view kSigning = "signing=";
constexpr std::string_view kSigned = "signed";
constexpr size_t kSecretBytes = 32;
constexpr std::array<std::pair<std::string_view, seconds>, 4> kWindows = {
    {{"s", seconds(1)}, {"min", seconds(60)}, {"h", seconds(3600)}, {"day", seconds(86400)}}};

/// The whole of `text` as a number of at least 1.
template <typename T>
bool ParseCount(std::string_view text, T* count) {
  const std::optional<T> number = ParseNumber<T>(text);
  if (!number || *number < 1) return false;
  *count = *number;
  return true;
}

Status CheckName(std::string_view name) {
  if (IsOperatorName(name)) return {};
  return Fail(ErrorCode::kInvalidArgument,
              "{} is no name of a key, expected 1 to {} letters, digits, '.', '_' and '-'",
              Quoted(name), kMaxOperatorNameBytes);
}

Status ParseLimit(std::string_view word, KeyLimits* limits) {
  const size_t equals = std::min(word.find('='), word.size());
  const std::string_view name = word.substr(0, equals);
  const std::string_view value = word.substr(std::min(equals + 1, word.size()));
  if (name == "rate") {
    Result<RequestRate> rate = ParseRequestRate(value);
    if (!rate) return Propagate(rate);
    limits->rate = *rate;
    return {};
  }
  if (name == "concurrent" && ParseCount(value, &limits->concurrent)) return {};
  if (name == "tokens" && ParseCount(value, &limits->tokens_per_day)) return {};
  // What stands behind an unknown name may be a secret.
  return Fail(ErrorCode::kInvalidArgument,
              "{} is no limit of a key, expected rate=60/min, concurrent=N, tokens=N, "
              "signing=SECRET or signed",
              Quoted(name == "concurrent" || name == "tokens" ? word : name));
}

}  // namespace

Result<RequestRate> ParseRequestRate(std::string_view text) {
  const size_t slash = std::min(text.find('/'), text.size());
  RequestRate rate;
  for (const auto& [unit, window] : kWindows) {
    if (text.substr(std::min(slash + 1, text.size())) == unit) rate.window = window;
  }
  if (rate.window.count() == 0 || !ParseCount(text.substr(0, slash), &rate.requests)) {
    return Fail(ErrorCode::kInvalidArgument,
                "{} is no rate of requests, expected a number and /s, /min, /h or /day",
                Quoted(text));
  }
  return rate;
}

std::string ToString(const RequestRate& rate) {
  for (const auto& [unit, window] : kWindows) {
    if (rate.window == window) return fmt::format("{}/{}", rate.requests, unit);
  }
  return fmt::format("{}/{}s", rate.requests, rate.window.count());
}

Result<ApiKey> ApiKey::Create(std::string name, std::string_view secret, KeyLimits limits,
                              Signing signing) {
  if (Status status = CheckName(name); !status) return Propagate(status);
  if (secret.empty()) {
    return Fail(ErrorCode::kInvalidArgument, "an API key is empty, expected at least a character");
  }
  if (!std::all_of(secret.begin(), secret.end(), [](char c) { return c > ' ' && c < 0x7f; })) {
    return Fail(ErrorCode::kInvalidArgument,
                "an API key has a character that no header can carry, expected printable ASCII "
                "without blanks");
  }
  ApiKey key;
  key.name_ = std::move(name);
  key.limits_ = limits;
  FillRandom(key.salt_);
  key.digest_ = HmacSha256(key.salt_, secret);
  key.signing_ = signing;
  if (signing != Signing::kNever) key.signing_secret_ = SigningSecret(secret);
  return key;
}

std::string ApiKey::NewSecret() {
  std::array<uint8_t, kSecretBytes> bytes{};
  FillRandom(bytes);
  std::string text = Base64({reinterpret_cast<const char*>(bytes.data()), bytes.size()});
  text.resize(text.find('='));
  std::replace(text.begin(), text.end(), '+', '-');
  std::replace(text.begin(), text.end(), '/', '_');
  return "quern-" + text;
}

Result<ApiKey> ApiKey::Parse(std::string_view line) {
  const std::vector<std::string_view> words = WordsOf(line);
  ApiKey key;
  std::string_view digest = words.size() < 2 ? "" : words[1];
  const bool known = digest.substr(0, kScheme.size()) == kScheme;
  if (known) digest.remove_prefix(kScheme.size());
  const size_t colon = std::min(digest.find(':'), digest.size());
  if (!known || !ParseHex(digest.substr(0, colon), key.salt_) ||
      !ParseHex(digest.substr(std::min(colon + 1, digest.size())), key.digest_)) {
    // Not quoted: it may be a key with a blank in it.
    return Fail(ErrorCode::kInvalidArgument,
                "no digest of a key, expected NAME {}SALT:DIGEST with {} and {} hex digits",
                kScheme, 2 * key.salt_.size(), 2 * key.digest_.size());
  }
  key.name_ = std::string(words.front());
  if (Status status = CheckName(key.name_); !status) return Propagate(status);
  for (size_t i = 2; i < words.size(); ++i) {
    if (Status status = key.ParseField(words[i]); !status) return Propagate(status);
  }
  return key;
}

Status ApiKey::ParseField(std::string_view word) {
  if (word.starts_with(kSigning)) {
    if (!ParseHex(word.substr(kSigning.size()), signing_secret_)) {
      return Fail(ErrorCode::kInvalidArgument, "{} has no secret, expected {} hex digits", kSigning,
                  2 * signing_secret_.size());
    }
    signing_ = Signing::kOptional;
    return {};
  }
  if (word != kSigned) return ParseLimit(word, &limits_);
  if (signing_ == Signing::kNever) {
    return Fail(ErrorCode::kInvalidArgument,
                "the key is to be {}, but no {}SECRET stands before it", kSigned, kSigning);
  }
  signing_ = Signing::kRequired;
  return {};
}

std::string ApiKey::Line() const {
  std::string line = fmt::format("{} {}{}:{}", name_, kScheme, Hex(salt_), Hex(digest_));
  if (limits_.rate) line += " rate=" + ToString(*limits_.rate);
  if (limits_.concurrent > 0) line += fmt::format(" concurrent={}", limits_.concurrent);
  if (limits_.tokens_per_day > 0) line += fmt::format(" tokens={}", limits_.tokens_per_day);
  if (signing_ != Signing::kNever) line += fmt::format(" {}{}", kSigning, Hex(signing_secret_));
  if (signing_ == Signing::kRequired) line += fmt::format(" {}", kSigned);
  return line;
}

bool ApiKey::Matches(std::string_view secret) const {
  return AreEqual(HmacSha256(salt_, secret), digest_);
}

}  // namespace quern
