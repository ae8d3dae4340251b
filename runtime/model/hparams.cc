#include "runtime/model/hparams.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "gguf/base/printable.h"
#include "kernels/matmul.h"
#include "kernels/reference.h"
#include "runtime/model/architecture.h"

namespace quern {
namespace {

/// Reads the keys of one architecture; the first failure sticks and later reads give zero.
class HParamsReader {
 public:
  HParamsReader(const GgufFile& file, std::string arch) : file_(file), arch_(std::move(arch)) {}

  std::string Key(std::string_view suffix) const { return arch_ + "." + std::string(suffix); }

  /// A count from 1 to `most`.
  uint32_t Count(std::string_view suffix, uint64_t most) {
    return Checked(suffix, file_.GetUint(Key(suffix)), most);
  }
  uint32_t CountOr(std::string_view suffix, uint64_t fallback, uint64_t most) {
    return Checked(suffix, file_.GetUintOr(Key(suffix), fallback), most);
  }
  double PositiveOr(std::string_view suffix, double fallback) {
    Result<double> value = file_.GetFloatOr(Key(suffix), fallback);
    if (!value) return Stick(Propagate(value));
    if (!(*value > 0) || !std::isfinite(*value)) {
      return Stick(Fail(ErrorCode::kCorruptFile, "{}: {} is {}, expected a positive number",
                        file_.name(), Key(suffix), *value));
    }
    return *value;
  }
  std::string TextOr(std::string_view key, std::string_view fallback) {
    Result<std::string_view> value = file_.GetStringOr(key, fallback);
    if (!value) Stick(Propagate(value));
    return value ? std::string(*value) : std::string();
  }
  uint32_t Stick(tl::unexpected<Error> error) {
    if (status_) status_ = std::move(error);
    return 0;
  }
  Status status() const { return status_; }

 private:
  uint32_t Checked(std::string_view suffix, Result<uint64_t> value, uint64_t most) {
    if (!value) return Stick(Propagate(value));
    if (*value < 1 || *value > most) {
      return Stick(Fail(ErrorCode::kCorruptFile, "{}: {} is {}, expected 1 to {}", file_.name(),
                        Key(suffix), *value, most));
    }
    return static_cast<uint32_t>(*value);
  }

  const GgufFile& file_;
  std::string arch_;
  Status status_;
};

constexpr uint64_t kMostWidth = 1 << 20;
constexpr uint64_t kMostLayers = 4096;
constexpr uint64_t kMostHeadDim = 512;
constexpr uint64_t kMostContext = 1 << 28;
constexpr uint64_t kMostVocab = 1 << 24;

/// Llama 3.1's rule: long wavelengths are slowed down by `factor`, short ones kept, and those
/// between blended. Source: "The Llama 3 Herd of Models" and its reference implementation's
/// apply_scaling.
double Llama3Frequency(double frequency, double factor, double low, double high, double context) {
  const double wavelength = 2 * std::numbers::pi / frequency;
  if (wavelength < context / high) return frequency;
  if (wavelength > context / low) return frequency / factor;
  const double smooth = (context / wavelength - low) / (high - low);
  return (1 - smooth) * frequency / factor + smooth * frequency;
}

/// Angle per position of every rotated pair: base^(-2i/n_rot), then the scaling that metadata and
/// file ask for.
Status LoadRopeFrequencies(const GgufFile& file, HParamsReader& reader, HParams& hparams) {
  const double base = reader.PositiveOr("rope.freq_base", 10000.0);
  const std::string type = reader.TextOr(reader.Key("rope.scaling.type"), "");
  // Files from before rope.scaling.* give the linear factor alone.
  const double old_factor = reader.PositiveOr("rope.scale_linear", 1.0);
  const double factor = reader.PositiveOr("rope.scaling.factor", old_factor);
  const double low = reader.PositiveOr("rope.scaling.low_freq_factor", 1.0);
  const double high = reader.PositiveOr("rope.scaling.high_freq_factor", 4.0);
  const double context = reader.CountOr("rope.scaling.original_context_length", 8192, kMostContext);
  if (Status status = reader.status(); !status) return status;

  const bool linear = type == "linear" || (type.empty() && factor != 1.0);
  if (!linear && !type.empty() && type != "none" && type != "llama3") {
    return Fail(ErrorCode::kUnsupported, "{}: {} is {}, expected none, linear or llama3",
                file.name(), reader.Key("rope.scaling.type"), Quoted(type));
  }
  const uint32_t n_pairs = hparams.n_rot / 2;
  std::vector<float> divisors(n_pairs, 1.0F);
  if (const TensorInfo* tensor = file.FindTensor("rope_freqs.weight")) {
    if (tensor->type != GgmlType::kF32 || tensor->n_elements() != n_pairs) {
      return Fail(ErrorCode::kCorruptFile,
                  "{}: tensor 'rope_freqs.weight' has {} elements of {}, expected {} of F32",
                  file.name(), tensor->n_elements(), NameOf(tensor->type), n_pairs);
    }
    DequantizeRow(tensor->type, tensor->data.data(), n_pairs, divisors.data());
  }
  // Files that have the tensor have llama3's scaling in it, whatever they say of it besides.
  const bool llama3 = type == "llama3" && file.FindTensor("rope_freqs.weight") == nullptr;
  hparams.rope_freqs.resize(n_pairs);
  for (uint32_t i = 0; i < n_pairs; ++i) {
    if (!(divisors[i] > 0) || !std::isfinite(divisors[i])) {
      return Fail(ErrorCode::kCorruptFile,
                  "{}: element {} of tensor 'rope_freqs.weight' is {}, expected a positive number",
                  file.name(), i, divisors[i]);
    }
    double frequency = std::pow(base, -2.0 * i / hparams.n_rot);
    if (linear) frequency /= factor;
    if (llama3) frequency = Llama3Frequency(frequency, factor, low, high, context);
    hparams.rope_freqs[i] = frequency / divisors[i];
  }
  return {};
}

Result<uint32_t> VocabularySize(const GgufFile& file) {
  const TensorInfo* embedding = file.FindTensor("token_embd.weight");
  if (embedding == nullptr) {
    return Fail(ErrorCode::kCorruptFile, "{}: no tensor 'token_embd.weight': not a whole model",
                file.name());
  }
  if (embedding->n_rows() > kMostVocab) {
    return Fail(ErrorCode::kCorruptFile,
                "{}: tensor 'token_embd.weight' has {} rows, expected at most {}", file.name(),
                embedding->n_rows(), kMostVocab);
  }
  return static_cast<uint32_t>(embedding->n_rows());
}

std::string KnownArchitectures() {
  std::string names;
  for (const Architecture* architecture : Architectures()) {
    if (!names.empty()) names += ", ";
    names += architecture->name;
  }
  return names;
}

}  // namespace

Result<HParams> HParams::Load(const GgufFile& file) {
  Result<std::string_view> arch = file.GetString("general.architecture");
  if (!arch) return Propagate(arch);
  const Architecture* architecture = FindArchitecture(*arch);
  if (architecture == nullptr) {
    return Fail(ErrorCode::kUnsupported, "{}: architecture {} is not one Quern runs ({})",
                file.name(), Quoted(*arch), KnownArchitectures());
  }
  Result<uint32_t> n_vocab = VocabularySize(file);
  if (!n_vocab) return Propagate(n_vocab);

  HParamsReader reader(file, std::string(*arch));
  HParams hparams;
  hparams.arch = *arch;
  hparams.rope_style = architecture->rope_style;
  hparams.name = reader.TextOr("general.name", "");
  hparams.n_vocab = *n_vocab;
  hparams.n_ctx_train = reader.Count("context_length", kMostContext);
  hparams.n_embd = reader.Count("embedding_length", kMostWidth);
  hparams.n_layer = reader.Count("block_count", kMostLayers);
  hparams.n_ff = reader.Count("feed_forward_length", kMostWidth);
  hparams.n_head = reader.Count("attention.head_count", kMostWidth);
  hparams.n_head_kv = reader.CountOr("attention.head_count_kv", hparams.n_head, kMostWidth);
  hparams.rms_eps = static_cast<float>(reader.PositiveOr("attention.layer_norm_rms_epsilon", 1e-5));
  if (Status status = reader.status(); !status) return Propagate(status);

  const uint32_t even_share = hparams.n_embd / hparams.n_head;
  if (file.Find(reader.Key("attention.key_length")) == nullptr &&
      (even_share < 1 || even_share > kMostHeadDim)) {
    return Fail(ErrorCode::kCorruptFile,
                "{}: {} {} in {} heads ({}) makes heads of {}, expected 1 to {}", file.name(),
                reader.Key("embedding_length"), hparams.n_embd, hparams.n_head,
                reader.Key("attention.head_count"), even_share, kMostHeadDim);
  }
  hparams.head_dim = reader.CountOr("attention.key_length", even_share, kMostHeadDim);
  const uint32_t value_dim =
      reader.CountOr("attention.value_length", hparams.head_dim, kMostHeadDim);
  hparams.n_rot = reader.CountOr("rope.dimension_count", hparams.head_dim, kMostHeadDim);
  const uint32_t n_expert =
      static_cast<uint32_t>(file.GetUintOr(reader.Key("expert_count"), 0).value_or(0));
  if (Status status = reader.status(); !status) return Propagate(status);

  if (n_expert > 0) {
    return Fail(ErrorCode::kUnsupported, "{}: a mixture of {} experts is not supported",
                file.name(), n_expert);
  }
  if (hparams.n_head % hparams.n_head_kv != 0) {
    return Fail(ErrorCode::kCorruptFile, "{}: {} heads are not a multiple of {} KV heads",
                file.name(), hparams.n_head, hparams.n_head_kv);
  }
  if (value_dim != hparams.head_dim) {
    return Fail(ErrorCode::kUnsupported,
                "{}: keys of {} and values of {}: expected the same length", file.name(),
                hparams.head_dim, value_dim);
  }
  if (hparams.head_dim % 2 != 0 || hparams.n_rot % 2 != 0 || hparams.n_rot > hparams.head_dim) {
    return Fail(
        ErrorCode::kUnsupported,
        "{}: heads of {} with {} rotated elements: expected even numbers, the second at most"
        " the first",
        file.name(), hparams.head_dim, hparams.n_rot);
  }
  if (Status status = LoadRopeFrequencies(file, reader, hparams); !status) return Propagate(status);
  return hparams;
}

MemoryEstimate EstimateMemory(const GgufFile& file, const HParams& hparams, size_t n_ctx,
                              KvTypes kv_types) {
  MemoryEstimate estimate;
  for (const TensorInfo& tensor : file.tensors()) {
    // Packed rows come in groups of kRowGroup, the last one padded.
    const uint64_t rows = (tensor.n_rows() + kRowGroup - 1) / kRowGroup * kRowGroup;
    estimate.weights += rows * RowBytes(tensor.type, tensor.n_cols());
  }
  const uint64_t n_pages = (n_ctx + kPageTokens - 1) / kPageTokens;
  estimate.kv_cache =
      n_pages * hparams.n_layer * hparams.n_head_kv * KvHeadPageBytes(kv_types, hparams.head_dim);
  // Floats of a prompt chunk of 512 rows (residual, Q, K, V, attention, gate, up), one row of
  // logits, and code and libraries.
  constexpr uint64_t kChunk = 512;
  constexpr uint64_t kProgram = 24 << 20;
  const uint64_t row = 2ULL * hparams.n_embd +
                       (2ULL * hparams.n_head + 2ULL * hparams.n_head_kv) * hparams.head_dim +
                       2ULL * hparams.n_ff;
  estimate.scratch = kChunk * row * 5 + uint64_t{hparams.n_vocab} * 4 + kProgram;
  return estimate;
}

}  // namespace quern
