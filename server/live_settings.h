// What a running server can be told anew: keys, screening rules, its certificate, routers.
#pragma once

#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "gguf/base/result.h"
#include "server/access/access_control.h"
#include "server/access/screening.h"
#include "server/api/router.h"
#include "server/http/tls.h"

namespace quern {

/// The settings of one moment, which stay as they are for who holds them.
struct Settings {
  std::shared_ptr<const AccessControl> access = std::make_shared<const AccessControl>();
  std::shared_ptr<const Screening> screening = nullptr;  ///< null: none
  std::shared_ptr<const Routers> routers = std::make_shared<const Routers>();
};

/// Thread-safe once Read has succeeded.
class LiveSettings {
 public:
  struct Sources {
    std::vector<std::string> api_keys;  ///< no keys here and there: none is asked for
    std::string api_key_file;           ///< as ReadKeyFile has it; empty: none
    std::string screening_file;         ///< as Screening::Read has it; empty: none
    std::optional<TlsFiles> tls;        ///< none: bytes go as they are
  };

  explicit LiveSettings(Sources sources) : sources_(std::move(sources)) {}
  LiveSettings(const LiveSettings&) = delete;
  LiveSettings& operator=(const LiveSettings&) = delete;

  /// Reads all files, for the first time or again, for the requests and connections to come.
  /// Errors: kInvalidArgument for a key that no client can send; those of ReadKeyFile,
  /// Screening::Read and TlsServer::Create. Then all stays as it was.
  Status Read();
  void SetRouters(Routers routers);

  Settings Current() const;
  /// Null where none is spoken; else, from the first Read on, the same for all of its life.
  const TlsServer* tls() const { return tls_.get(); }

 private:
  /// For the first time or again. Errors: those of TlsServer.
  Status ReadTls();

  const Sources sources_;
  std::unique_ptr<TlsServer> tls_;
  mutable std::mutex mutex_;
  Settings settings_;  ///< under mutex_
};

}  // namespace quern
