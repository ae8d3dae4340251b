// What clients and operators may know of a model that the server offers.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

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
