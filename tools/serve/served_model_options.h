// The options of one served model: what `quern serve` takes for it on the command line, and a file
// of models in its sections.
#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "gguf/base/result.h"
#include "runtime/engine/engine.h"
#include "server/inference/served_model.h"
#include "server/inference/thread_budget.h"
#include "server/telemetry/metrics.h"
#include "server/telemetry/request_log.h"
#include "tools/options/model_argument.h"
#include "tools/options/sampling_options.h"
#include "tools/options/shared_options.h"
#include "tools/serve/memory_plan.h"

namespace quern {

struct ServedModelOptions {
  ModelArgument model;
  std::string id;     ///< empty: the model's own name, else its file's
  std::string place;  ///< file and line of what asks for it, for errors; empty: the command line
  std::vector<std::string> aliases;
  bool preload = true;  ///< loaded from the start, and never unloaded for another
  EngineOptions engine;
  LoadMode load_mode = LoadMode::kPack;  ///< it pays for all but the first answers
  std::optional<size_t> n_ctx;
  size_t max_queue = 64;
  int64_t n_predict = -1;
  CacheTypeOptions cache_type;
  SamplingOptions sampling;
  ChatTemplateOptions chat_template;

  ServedModelOptions();

  /// All but the model itself and its name.
  void AddTo(CLI::App* command);
};

/// The share of the memory left by one of several models that its KV cache may take.
inline constexpr double kSharedKvShare = 0.125;

/// What the loading of a model is done with and tells.
struct LoadContext {
  Metrics* metrics = nullptr;      ///< told of the time between tokens
  RequestLog* log = nullptr;       ///< told of steps that fail; may be null
  ThreadBudget* budget = nullptr;  ///< that models share; null: each has the machine
  double kv_share = 0.5;           ///< as MemoryWish has it
  bool show_progress = false;      ///< a bar on a terminal
  /// Told of the share that is loaded, from the loading thread. May be null.
  std::function<void(const std::string& path, double share)> on_progress;
};

/// A model that is ready to be offered.
struct PlannedModel {
  ServedModel served;
  MemoryPlan plan;
  EngineOptions engine;  ///< with its context and cache fitted
  bool is_packed = false;
};

/// Reads the model's file and fits its context and cache to it and to `available` bytes of memory.
/// Its loading keeps `context`. Errors: those of the files and options, and of PlanMemory, with the
/// model's place.
Result<PlannedModel> PlanModel(const ServedModelOptions& options, uint64_t available,
                               const LoadContext& context);

}  // namespace quern
