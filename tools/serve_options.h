// The options of `quern serve`, with llama-server's names and environment variables.
#pragma once

#include <CLI/CLI.hpp>
#include <optional>
#include <string>

#include "gguf/result.h"
#include "runtime/engine.h"
#include "server/http_server.h"
#include "server/request_log.h"
#include "server/tracer.h"
#include "tools/memory_plan.h"
#include "tools/model_argument.h"
#include "tools/sampling_options.h"
#include "tools/shared_options.h"

namespace quern {

struct ServeOptions {
  ModelArgument model;
  std::string model_id;  ///< empty: the model's own name, else its file's
  HttpServerOptions http;
  EngineOptions engine;  ///< its context and cache are still to be fitted to model and memory
  RequestLogOptions log;
  AuditLog::Options audit;  ///< without a file there is none
  TracerOptions tracing;
  LoadMode load_mode = LoadMode::kPack;  ///< it pays for all but the first answers
  std::optional<size_t> n_ctx;
  size_t max_queue = 64;
  int drain_seconds = 30;

  ChatTemplateOptions chat_template;

  // Read by Finish.
  CacheTypeOptions cache_type;
  SamplingOptions sampling;
  int64_t n_predict = -1;
  std::string rate_limit;
  uint64_t audit_mib = 100;
  TlsFiles tls;
  std::optional<int> timeout_seconds;
  int queue_timeout_seconds = 600;
  bool no_slots = false;

  void AddTo(CLI::App* command);
  /// Sets what follows from the options and the model's `file`. Errors: those of files that they
  /// name, and kInvalidArgument.
  Status Finish(const GgufFile& file);
  /// Fits the engine's context and cache to the model and to `available` bytes of memory. After
  /// Finish. Errors: those of PlanMemory.
  Result<MemoryPlan> FitMemory(const GgufFile& file, const HParams& hparams, uint64_t available);
};

}  // namespace quern
