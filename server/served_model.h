// A model that the server offers: what is known of it before it is loaded, and how that is done.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "gguf/result.h"
#include "server/api_request.h"
#include "server/inference_thread.h"

namespace quern {

/// What clients may know of a model.
struct ModelInfo {
  std::string id;
  std::string path{};
  int64_t created = 0;  ///< when the server began to offer it, in seconds since 1970
  size_t n_ctx = 0;     ///< most tokens of one request
  size_t n_slots = 0;   ///< most requests that run together

  // Of the file.
  size_t n_ctx_train = 0;
  size_t n_vocab = 0;
  size_t n_embd = 0;
  uint64_t n_params = 0;
  uint64_t weight_bytes = 0;
};

struct ServedModel {
  ModelInfo info;
  std::vector<std::string> aliases;  ///< further names that clients may ask for
  uint64_t memory_bytes = 0;         ///< that it takes when loaded
  bool preload = false;              ///< loaded from the start, and never unloaded for another
  AnswerDefaults defaults;
  /// All that decides what `load` gives, as text: two models of one id with the same settings are
  /// the same model.
  std::string settings;
  std::function<Result<std::unique_ptr<InferenceThread>>()> load;
};

enum class ModelState : uint8_t {
  kUnloaded,
  kWaiting,  ///< asked for, behind others or until there is room
  kLoading,
  kLoaded,
  kFailed,  ///< the last try; the next request tries again
};

const char* NameOf(ModelState state);

/// How an offered model is.
struct ModelStatus {
  ModelInfo info;
  std::vector<std::string> aliases{};
  uint64_t memory_bytes = 0;
  ModelState state = ModelState::kUnloaded;
  size_t n_leases = 0;  ///< requests that hold it
  uint64_t n_loads = 0;
  uint64_t n_unloads = 0;
  uint64_t n_failures = 0;
};

}  // namespace quern
