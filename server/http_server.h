// The HTTP front: routes, access and limits over the models.
#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "gguf/base/result.h"
#include "server/access/api_key.h"
#include "server/answering.h"
#include "server/api/router.h"
#include "server/http/connection_limits.h"
#include "server/http/tls.h"
#include "server/inference/model_pool.h"
#include "server/telemetry/audit_log.h"
#include "server/telemetry/metrics.h"
#include "server/telemetry/request_log.h"
#include "server/telemetry/tracer.h"

namespace quern {

struct HttpServerOptions {
  std::string host = "127.0.0.1";
  int port = 8080;                             ///< 0: any free one
  std::vector<std::string> api_keys;           ///< no keys here and there: none is asked for
  std::string api_key_file;                    ///< as ReadKeyFile has it; empty: none
  std::string usage_file;                      ///< as ReadUsageFile has it; empty: none
  std::string screening_file;                  ///< as Screening::Read has it; empty: none
  std::optional<RequestRate> rate_limit;       ///< of keys that have none, and of addresses without
  bool insecure = false;                       ///< others may reach it without a key
  std::chrono::seconds signature_window{300};  ///< between a signature's time and the server's
  std::vector<std::string> cors_origins;  ///< whose pages may use it, as Cors::Options has them
  bool show_slots = true;                 ///< /slots
  std::optional<TlsFiles> tls;            ///< where none, bytes go as they are
  ConnectionLimits limits;
  AnsweringOptions answering;

  /// Whether there is anything that HttpServer::Reload reads.
  bool can_reload() const { return tls || !api_key_file.empty() || !screening_file.empty(); }
};

class HttpServer {
 public:
  /// `log`, `audit` and `tracer` may be null; all that are given outlive the server.
  HttpServer(HttpServerOptions options, ModelPool* models, Metrics* metrics, RequestLog* log,
             AuditLog* audit = nullptr, Tracer* tracer = nullptr);
  ~HttpServer();
  HttpServer(const HttpServer&) = delete;
  HttpServer& operator=(const HttpServer&) = delete;

  /// Whether Bind would take the options. Errors: as Bind, but for the address's own.
  static Status Check(const HttpServerOptions& options);

  /// Takes the address and gives its port. Errors: kIo naming it; kInvalidArgument for an address
  /// that others can reach without a key, for a key that no client can send, and for an origin that
  /// is none; those of ReadKeyFile, Screening::Read,
  /// ReadUsageFile, UsageFile::Open and TlsServer::Create.
  Result<int> Bind();
  /// As its options have it.
  bool CanReload() const;
  /// Reads the files of API keys and of screening rules again, and the certificate with its key,
  /// for what is to come. Errors: those of reading; then all stays as it was. Any thread, after
  /// Bind.
  Status Reload();
  /// What requests may name beside the models. Any thread.
  void SetRouters(Routers routers);
  /// Serves until Stop.
  void Run();
  /// Refuses new requests, lets those under way finish within `drain`, then cuts them off with an
  /// error that says so, and makes Run return. Any thread, once, after or while Run is called.
  void Stop(std::chrono::milliseconds drain);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace quern
