#include "server/telemetry/otlp_endpoint.h"

#include <algorithm>
#include <cstdlib>
#include <string_view>

#include "gguf/base/lower_ascii.h"
#include "gguf/base/printable.h"

namespace quern {
namespace {

std::string Variable(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

bool IsHttpUrl(std::string_view url) {
  const size_t scheme = url.find("://");
  if (scheme == std::string_view::npos) return false;
  const std::string name = LowerAscii(url.substr(0, scheme));
  if (name != "http" && name != "https") return false;
  const std::string_view rest = url.substr(scheme + 3);
  return !rest.empty() && rest[0] != '/' && rest[0] != ':' &&
         std::all_of(rest.begin(), rest.end(), [](char c) { return c > ' ' && c <= '~'; });
}

/// `origin` names what says `url`.
Status Check(const char* origin, const std::string& url) {
  if (IsHttpUrl(url)) return {};
  return Fail(ErrorCode::kInvalidArgument,
              "{}: {} is no URL of a collector, expected one such as http://127.0.0.1:4318", origin,
              Quoted(url));
}

Result<std::string> WithPath(const char* origin, std::string base) {
  if (Status status = Check(origin, base); !status) return Propagate(status);
  while (base.ends_with('/')) base.pop_back();
  return base + "/v1/traces";
}

}  // namespace

Result<std::string> TracesUrl(const std::string& option) {
  if (!option.empty()) return WithPath("--otlp-endpoint", option);
  if (LowerAscii(Variable("OTEL_SDK_DISABLED")) == "true") return std::string();
  constexpr const char* kTraces = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT";
  if (std::string url = Variable(kTraces); !url.empty()) {
    if (Status status = Check(kTraces, url); !status) return Propagate(status);
    return url;
  }
  constexpr const char* kAll = "OTEL_EXPORTER_OTLP_ENDPOINT";
  if (const std::string base = Variable(kAll); !base.empty()) return WithPath(kAll, base);
  return std::string();
}

std::string HostOfUrl(const std::string& url) {
  std::string host = url.substr(url.find("://") + 3);
  host.resize(std::min(host.find_first_of("/?#"), host.size()));
  host.erase(0, host.rfind('@') + 1);
  if (host.starts_with('[')) return host.substr(1, host.find(']') - 1);
  return host.substr(0, host.find(':'));
}

}  // namespace quern
