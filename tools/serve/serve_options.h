// The options of `quern serve`, with llama-server's names and environment variables.
#pragma once

#include <CLI/CLI.hpp>
#include <optional>
#include <string>

#include "gguf/base/result.h"
#include "server/http_server.h"
#include "server/telemetry/request_log.h"
#include "server/telemetry/tracer.h"
#include "tools/serve/models_file.h"
#include "tools/serve/served_model_options.h"

namespace quern {

struct ServeOptions {
  ServedModelOptions model;   ///< the one that is served, or what holds for all in common
  std::string models_file;    ///< of several models; empty: none
  std::string models_folder;  ///< of several models; empty: none
  uint64_t models_bytes = 0;  ///< of all loaded models together; 0: what is available at the start
  size_t max_loaded = 0;      ///< models that are loaded together; 0: no limit
  int load_wait_seconds = 120;
  HttpServerOptions http;
  RequestLogOptions log;
  AuditLog::Options audit;  ///< without a file there is none
  TracerOptions tracing;
  int drain_seconds = 30;
  bool check_only = false;  ///< an option of `quern serve` alone

  // Read by Finish.
  std::string rate_limit;
  uint64_t audit_mib = 100;
  TlsFiles tls;
  std::optional<int> timeout_seconds;
  int queue_timeout_seconds = 600;
  bool no_slots = false;

  void AddTo(CLI::App* command);
  /// Sets what follows from the options. Errors: kInvalidArgument.
  Status Finish();

  bool has_several() const { return !models_file.empty() || !models_folder.empty(); }
  /// Whether the server takes SIGHUP, having something to read again; else the signal ends it.
  bool can_reload() const { return has_several() || http.can_reload(); }
  /// The models to be served, read anew. Errors: those of ReadModelsFile and ListModelsFolder.
  Result<ModelList> ListModels() const;
};

}  // namespace quern
