// A model that the server offers: what is known of it before it is loaded, and how that is done.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "gguf/base/result.h"
#include "runtime/engine/engine.h"
#include "runtime/model/model.h"
#include "server/api/api_request.h"
#include "server/api/model_status.h"
#include "server/inference/inference_thread.h"

namespace quern {

/// All that decides what loading gives: two models of one id and equal recipes are the same model.
struct ModelRecipe {
  std::string path;  ///< of the file, or the name of what is built in
  /// Size and age tell whether it is another file; of what is built in there is no age.
  uint64_t weight_bytes = 0;
  std::optional<std::filesystem::file_time_type> modified{};
  LoadMode load_mode = LoadMode::kPack;
  std::optional<std::string> chat_template{};  ///< in the place of the file's
  EngineOptions engine{};
  size_t max_queue = 0;

  bool operator==(const ModelRecipe&) const = default;
};

struct ServedModel {
  ModelInfo info;
  std::vector<std::string> aliases;  ///< further names that clients may ask for
  uint64_t memory_bytes = 0;         ///< that it takes when loaded
  bool preload = false;              ///< loaded from the start, and never unloaded for another
  AnswerDefaults defaults;
  ModelRecipe recipe;
  /// Loads what the recipe says, and is told of nothing else that could make a difference.
  std::function<Result<std::unique_ptr<InferenceThread>>(const ModelRecipe&)> load;
};

}  // namespace quern
