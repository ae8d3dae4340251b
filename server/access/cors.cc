#include "server/access/cors.h"

#include <fmt/format.h>

#include <algorithm>

#include "gguf/base/lower_ascii.h"
#include "gguf/base/printable.h"
#include "server/access/access_control.h"

namespace quern {
namespace {

bool EndsWith(std::string_view text, std::string_view end) {
  return text.size() >= end.size() && text.substr(text.size() - end.size()) == end;
}

/// `host[:port]` without the port, and without the brackets of an IPv6 address.
std::string_view WithoutPort(std::string_view authority) {
  if (!authority.empty() && authority.front() == '[') {
    const size_t end = authority.find(']');
    return end == std::string_view::npos ? authority : authority.substr(1, end - 1);
  }
  return authority.substr(0, authority.find(':'));
}

/// What follows `scheme://`; "" for what is no origin.
std::string_view AuthorityOf(std::string_view origin) {
  constexpr std::string_view kMark = "://";
  const size_t mark = origin.find(kMark);
  if (mark == std::string_view::npos || mark == 0) return {};
  return origin.substr(mark + kMark.size());
}

/// Browsers resolve localhost and all names below it to loopback themselves (RFC 6761).
bool IsLocalName(std::string_view host) { return IsLoopback(host) || EndsWith(host, ".localhost"); }

}  // namespace

Result<Cors> Cors::Create(const Options& options) {
  Cors cors;
  cors.hosts_.push_back(LowerAscii(options.bound_host));
  for (const std::string& origin : options.origins) {
    if (origin == "*") {
      cors.any_ = true;
    } else if (origin == "localhost") {
      cors.local_ = true;
    } else {
      std::string lower = LowerAscii(origin);
      const std::string_view authority = AuthorityOf(lower);
      if (authority.empty() || authority.find_first_of("/,* ") != std::string_view::npos) {
        return Fail(ErrorCode::kInvalidArgument,
                    "{} is no origin, expected scheme://host[:port], localhost or *",
                    Quoted(origin));
      }
      cors.hosts_.emplace_back(WithoutPort(authority));
      cors.origins_.push_back(std::move(lower));
    }
  }
  cors.guards_host_ = IsLoopback(options.bound_host) && !options.has_keys && !cors.any_;
  return cors;
}

bool Cors::Allows(std::string_view origin) const {
  if (any_) return true;
  if (local_ && IsLocalName(WithoutPort(AuthorityOf(origin)))) return true;
  return std::find(origins_.begin(), origins_.end(), origin) != origins_.end();
}

bool Cors::IsOwnHost(std::string_view host) const {
  const std::string_view name = WithoutPort(host);
  return IsLocalName(name) || std::find(hosts_.begin(), hosts_.end(), name) != hosts_.end();
}

Cors::Decision Cors::Decide(std::string_view method, std::string_view origin,
                            std::string_view host) const {
  Decision decision;
  const std::string from = LowerAscii(origin);
  const std::string to = LowerAscii(host);
  // HTTP/1.0 knows no Host and browsers no HTTP/1.0.
  if (guards_host_ && !to.empty() && !IsOwnHost(to)) {
    decision.refusal = {403, fmt::format("the Host is {}, expected the server's own (a page's name "
                                         "may be allowed with --cors-origins)",
                                         Quoted(host))};
    return decision;
  }
  // Caches must not give one origin's answer to another.
  if (!any_ && (local_ || !origins_.empty())) decision.headers.emplace_back("Vary", "Origin");

  const bool allowed = !from.empty() && Allows(from);
  if (allowed) {
    decision.headers.emplace_back("Access-Control-Allow-Origin", any_ ? "*" : std::string(origin));
    decision.headers.emplace_back("Access-Control-Expose-Headers", "*");
  }
  if (method == "OPTIONS") {
    decision.is_preflight = true;
    if (allowed) {
      decision.headers.emplace_back("Access-Control-Allow-Methods", "GET, POST, OPTIONS");
      // The star covers all but this one.
      decision.headers.emplace_back("Access-Control-Allow-Headers", "*, Authorization");
      decision.headers.emplace_back("Access-Control-Max-Age", "600");
    }
    return decision;
  }
  const bool is_own = AuthorityOf(from) == to && !to.empty();
  const bool may_change = method != "GET" && method != "HEAD";
  if (may_change && !from.empty() && !allowed && !is_own &&
      !IsLocalName(WithoutPort(AuthorityOf(from)))) {
    decision.refusal = {403, fmt::format("pages of {} may not use this server (--cors-origins "
                                         "allows them)",
                                         Quoted(origin))};
  }
  return decision;
}

}  // namespace quern
