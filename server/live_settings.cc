#include "server/live_settings.h"

#include <fmt/format.h>

#include <utility>

#include "server/access/key_file.h"

namespace quern {
namespace {

/// The options' keys and those of their file.
Result<std::vector<ApiKey>> ReadKeys(const LiveSettings::Sources& sources) {
  std::vector<ApiKey> keys;
  for (const std::string& secret : sources.api_keys) {
    Result<ApiKey> key =
        ApiKey::Create(fmt::format("option-{}", keys.size() + 1), secret, {}, Signing::kOptional);
    if (!key) return Propagate(key);
    keys.push_back(*std::move(key));
  }
  if (!sources.api_key_file.empty()) {
    Result<std::vector<ApiKey>> more = ReadKeyFile(sources.api_key_file);
    if (!more) return Propagate(more);
    keys.insert(keys.end(), more->begin(), more->end());
  }
  return keys;
}

/// Null where no file is given.
Result<std::shared_ptr<const Screening>> ReadScreening(const std::string& path) {
  if (path.empty()) return nullptr;
  return Screening::Read(path).map(
      [](Screening rules) { return std::make_shared<const Screening>(std::move(rules)); });
}

}  // namespace

Status LiveSettings::ReadTls() {
  if (!sources_.tls) return {};
  if (tls_ != nullptr) return tls_->Reload();
  Result<std::unique_ptr<TlsServer>> made = TlsServer::Create(*sources_.tls);
  if (!made) return Propagate(made);
  tls_ = *std::move(made);
  return {};
}

Status LiveSettings::Read() {
  Result<std::vector<ApiKey>> keys = ReadKeys(sources_);
  if (!keys) return Propagate(keys);
  Result<std::shared_ptr<const Screening>> screening = ReadScreening(sources_.screening_file);
  if (!screening) return Propagate(screening);
  // The last that can fail: from here on all is taken over.
  if (Status status = ReadTls(); !status) return status;
  auto access = std::make_shared<const AccessControl>(*std::move(keys));
  const std::lock_guard lock(mutex_);
  settings_.access = std::move(access);
  settings_.screening = *std::move(screening);
  return {};
}

void LiveSettings::SetRouters(Routers routers) {
  auto shared = std::make_shared<const Routers>(std::move(routers));
  const std::lock_guard lock(mutex_);
  settings_.routers = std::move(shared);
}

Settings LiveSettings::Current() const {
  const std::lock_guard lock(mutex_);
  return settings_;
}

}  // namespace quern
