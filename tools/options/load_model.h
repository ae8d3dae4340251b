// Loads a model for a command: with a progress bar on a terminal, and a warning of a context that
// is too long.
#pragma once

#include <memory>

#include "gguf/base/result.h"
#include "gguf/gguf_file.h"
#include "runtime/model/model.h"

namespace quern {

/// options.progress is told too. Errors: those of Model::Load.
Result<std::shared_ptr<const Model>> LoadModel(const GgufFile& file, LoadOptions options);

/// Says on stderr when `n_ctx` is more than the model was trained for, where it says that.
void WarnOfLongContext(size_t n_ctx_train, size_t n_ctx);

}  // namespace quern
