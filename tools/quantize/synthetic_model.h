// Models of chosen families and shapes with random weights, written as GGUF: for speed, memory and
// tests.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "gguf/base/result.h"
#include "gguf/ggml_type.h"
#include "gguf/gguf_file.h"

namespace quern {

enum class RopeScaling : uint8_t {
  kNone,
  kLinear,  ///< positions divided by the factor
  kLlama3,  ///< long wavelengths stretched by the factor: the tensor rope_freqs.weight
};

struct SyntheticModel {
  std::string name = "synthetic";
  std::string architecture = "llama";  ///< one that Quern runs
  uint32_t n_vocab = 512;              ///< a vocabulary file's own size comes before it
  uint32_t n_ctx_train = 131072;
  uint32_t n_embd = 256;
  uint32_t n_layer = 2;
  uint32_t n_head = 4;
  uint32_t n_head_kv = 2;
  uint32_t head_dim = 64;
  uint32_t n_ff = 512;
  bool tied = false;  ///< the output matrix is the embedding
  double rope_theta = 500000;
  float rms_eps = 1e-5F;
  RopeScaling rope_scaling = RopeScaling::kNone;
  double rope_factor = 8;
  /// Type of all matrices, F16 in those whose rows it does not divide; none for the mix Q4_K_M.
  std::optional<GgmlType> type = std::nullopt;
  uint64_t seed = 1;

  /// The shapes of a release: "llama-3.1-8b". Errors: kNotFound with the names that there are.
  static Result<SyntheticModel> Preset(std::string_view name);
  /// "llama-3.1-8b, llama-3.2-1b, ..."
  static std::string PresetNames();
};

struct SyntheticTensor {
  enum class Content : uint8_t { kWeights, kNorm, kBias, kRopeFactors };
  std::string name;
  GgmlType type;
  std::vector<uint64_t> shape;  ///< row length first
  Content content;
  double sigma = 0;  ///< standard deviation of weights
};

/// The tensors in file order, as the table of the architecture has them; of the optional ones the
/// output matrix, unless it is tied, and the RoPE factors of kLlama3. Errors: kInvalidArgument for
/// shapes that make no model, kUnsupported for an architecture that Quern does not run.
Result<std::vector<SyntheticTensor>> SyntheticTensorsOf(const SyntheticModel& model);

/// llama3's divisors of the rope frequencies, n_rot/2 values: 1 for wavelengths below 2048
/// positions, `factor` above 8192, and a linear blend of the frequencies between (Llama 3.1's
/// release: low_freq_factor 1, high_freq_factor 4, original context 8192).
std::vector<float> Llama3RopeFactors(uint32_t n_rot, double theta, double factor);

struct SyntheticWriteOptions {
  const GgufFile* vocabulary = nullptr;  ///< its tokenizer.* keys are copied; null: a generated one
  int n_threads = 0;                     ///< 0: AvailableThreads()
  std::function<void(double)> progress;  ///< called with the share written, 0 to 1
};

/// Writes the model to `path`; the same bytes for the same model and vocabulary.
/// Errors: those of SyntheticTensorsOf and GgufWriter.
Status WriteSyntheticModel(SyntheticModel model, const std::string& path,
                           const SyntheticWriteOptions& options = {});

}  // namespace quern
