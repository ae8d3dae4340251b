#include "server/access_control.h"

#include <arpa/inet.h>

#include <algorithm>
#include <cstdint>
#include <fstream>
#include <system_error>
#include <utility>

#include "gguf/printable.h"
#include "server/lower_ascii.h"

namespace quern {
namespace {

constexpr std::string_view kBearer = "bearer ";

/// What a header can carry unchanged.
bool IsSendable(std::string_view key) {
  return !key.empty() &&
         std::all_of(key.begin(), key.end(), [](char c) { return c > ' ' && c < 0x7f; });
}

/// Without a branch on the bytes of either.
bool EqualSecret(std::string_view given, std::string_view key) {
  size_t difference = given.size() ^ key.size();
  for (size_t i = 0; i < given.size(); ++i) {
    difference |= static_cast<unsigned char>(given[i] ^ key[i % key.size()]);
  }
  return difference == 0;
}

}  // namespace

Result<std::vector<std::string>> ReadApiKeyFile(const std::string& path) {
  std::ifstream file(path);
  if (!file) return Fail(ErrorCode::kNotFound, "cannot open the API key file {}", Quoted(path));
  std::vector<std::string> keys;
  std::string line;
  for (size_t number = 1; std::getline(file, line); ++number) {
    constexpr const char* kBlanks = " \t\r";
    const size_t begin = line.find_first_not_of(kBlanks);
    if (begin == std::string::npos || line[begin] == '#') continue;
    std::string key = line.substr(begin, line.find_last_not_of(kBlanks) - begin + 1);
    if (!IsSendable(key)) {
      // The key itself stays out of messages, which end in logs.
      return Fail(ErrorCode::kInvalidArgument,
                  "{}, line {}: the API key has a character that no header can carry, expected "
                  "printable ASCII without blanks",
                  path, number);
    }
    keys.push_back(std::move(key));
  }
  if (file.bad() || !file.eof()) {
    return Fail(ErrorCode::kIo, "cannot read the API key file {}", Quoted(path));
  }
  if (keys.empty()) {
    return Fail(ErrorCode::kInvalidArgument, "{} has no API key, expected one a line", path);
  }
  return keys;
}

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

Result<AccessControl> AccessControl::Create(std::vector<std::string> keys) {
  for (const std::string& key : keys) {
    if (key.empty()) {
      return Fail(ErrorCode::kInvalidArgument,
                  "an API key is empty, expected at least a character");
    }
    if (!IsSendable(key)) {
      return Fail(ErrorCode::kInvalidArgument,
                  "an API key has a character that no header can carry, expected printable ASCII "
                  "without blanks");
    }
  }
  return AccessControl(std::move(keys));
}

bool AccessControl::Allows(std::string_view method, std::string_view path,
                           std::string_view authorization, std::string_view x_api_key) const {
  if (keys_.empty() || path == "/health" || path == "/v1/health" || method == "OPTIONS") {
    return true;
  }
  const bool is_bearer = LowerAscii(authorization.substr(0, kBearer.size())) == kBearer;
  return Knows(is_bearer ? authorization.substr(kBearer.size()) : x_api_key);
}

bool AccessControl::Knows(std::string_view given) const {
  bool known = false;
  for (const std::string& key : keys_) known |= EqualSecret(given, key);
  return known;
}

}  // namespace quern
