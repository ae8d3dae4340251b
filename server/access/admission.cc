#include "server/access/admission.h"

namespace quern {
namespace {

HttpHeaders HeadersOf(const std::vector<std::pair<std::string, std::string>>& fields) {
  HttpHeaders headers;
  for (const auto& [name, value] : fields) headers.Add(name, value);
  return headers;
}

}  // namespace

Status Admission::KeepUsage(const std::string& path, RequestLog* log) {
  Result<std::unique_ptr<UsageFile>> file = UsageFile::Open(path, &quotas_, log);
  if (!file) return Propagate(file);
  usage_file_ = *std::move(file);
  return {};
}

Admission::HeadDecision Admission::CheckHead(const AccessControl& access,
                                             const HttpRequest& request) const {
  Cors::Decision cors =
      cors_.Decide(request.method, request.headers.Get("Origin"), request.headers.Get("Host"));
  HeadDecision decision{.headers = HeadersOf(cors.headers),
                        .refusal = std::move(cors.refusal),
                        .is_preflight = cors.is_preflight};
  if (!decision.refusal && !decision.is_preflight) {
    decision.refusal = authentication_.RefusalOfHead(access, request);
  }
  return decision;
}

Admission::Decision Admission::Check(const AccessControl& access, const HttpRequest& request) {
  Decision decision;
  Authentication::Caller caller = authentication_.Identify(access, request);
  if (!caller) {
    decision.refusal = std::move(caller.error());
    return decision;
  }
  const ApiKey* key = *caller;
  if (key != nullptr) decision.key = key->name();
  if (request.method != "POST") return decision;
  Quotas::Decision counted = quotas_.Charge(key != nullptr ? key->name() : request.remote,
                                            key != nullptr ? key->limits() : KeyLimits());
  decision.headers = HeadersOf(counted.headers);
  decision.refusal = std::move(counted.refusal);
  decision.ticket = std::move(counted.ticket);
  return decision;
}

}  // namespace quern
