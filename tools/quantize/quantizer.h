// Quantizes a GGUF model from file to file, a slab of rows at a time.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "gguf/base/result.h"
#include "gguf/gguf_file.h"
#include "tools/quantize/quantization_recipe.h"

namespace quern {

/// How far a quantization has come.
struct QuantizeProgress {
  std::string_view tensor;  ///< being written
  GgmlType from;
  GgmlType to;
  uint64_t weights_done;  ///< of the whole model
  uint64_t weights_total;
};

struct QuantizeOptions {
  const QuantizationRecipe* recipe = nullptr;
  bool pure = false;  ///< every matrix in the recipe's type
  int n_threads = 1;
  /// Called on the calling thread; may be empty.
  std::function<void(const QuantizeProgress&)> progress = {};
};

struct QuantizeSummary {
  uint64_t n_weights = 0;
  uint64_t source_bytes = 0;  ///< of all tensors
  uint64_t result_bytes = 0;
  uint32_t n_requantized = 0;  ///< tensors that were quantized before, so that their errors add up
  uint32_t n_fallback = 0;     ///< tensors whose rows do not fill the recipe's blocks
};

/// Writes `source` to `path`, quantized. Metadata stays as it is but for general.file_type,
/// general.quantization_version, and the alignment and split keys, which go. Memory: one slab of
/// rows, whatever the size of the model. An existing file is replaced when the new one is complete.
/// Errors: kInvalidArgument when `path` is the source, kUnsupported for a source type that does not
/// run, kCorruptFile for weights that are not finite or too large for the type.
Result<QuantizeSummary> QuantizeFile(const GgufFile& source, const std::string& path,
                                     const QuantizeOptions& options);

}  // namespace quern
