// A model that the server offers: what is known of it before it is loaded, and how that is done.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "gguf/base/result.h"
#include "server/api/api_request.h"
#include "server/api/model_status.h"
#include "server/inference/inference_thread.h"

namespace quern {

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

}  // namespace quern
