#include "tools/quantize/synthetic_model.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numbers>

#include "gguf/gguf_writer.h"
#include "runtime/machine/thread_team.h"
#include "runtime/model/hparams.h"
#include "runtime/model/tensor_table.h"
#include "tools/quantize/quantization_recipe.h"
#include "tools/quantize/random_blocks.h"
#include "tools/quantize/synthetic_vocabulary.h"

namespace quern {
namespace {

// Weights of unit-variance inputs give unit-variance outputs at 1/sqrt(n), whatever the number of
// layers: each layer adds to the residual stream, and RMSNorm takes its growth away again.
double UnitGain(uint64_t n_cols) { return 1 / std::sqrt(static_cast<double>(n_cols)); }

// Logits of deviation 3 over 128k tokens have an entropy of 11.8 - 3^2/2 = 7.3 nats and a largest
// probability of some percent: neither uniform nor one token alone.
constexpr double kLogitDeviation = 3;

constexpr uint32_t kQuantizationVersion = 2;

const QuantizationRecipe& Q4KM() { return *FindQuantizationRecipe("Q4_K_M"); }

/// The model's type, or F16 where its blocks do not divide the rows; in the mix, what the recipe
/// gives.
GgmlType TypeOf(const SyntheticModel& model, const ModelTensor& tensor) {
  if (UseOf(tensor.role) != TensorUse::kMatrix) return GgmlType::kF32;
  if (model.type) {
    const bool fits = tensor.n_cols % TraitsOf(*model.type).block_elements == 0;
    return fits ? *model.type : GgmlType::kF16;
  }
  const QuantizedModelShape shape = {.n_layer = model.n_layer, .tied_output = model.tied};
  const std::string name = tensor.name();
  TensorInfo matrix{};
  matrix.name = name;
  matrix.n_dims = 2;
  matrix.shape = {tensor.n_cols, tensor.n_rows, 1, 1};
  return ChooseTensorType(Q4KM(), false, shape, matrix);
}

SyntheticTensor::Content ContentOf(TensorRole role) {
  switch (UseOf(role)) {
    case TensorUse::kMatrix:
    case TensorUse::kRouter:
      return SyntheticTensor::Content::kWeights;
    case TensorUse::kNorm:
      return SyntheticTensor::Content::kNorm;
    case TensorUse::kBias:
      return SyntheticTensor::Content::kBias;
    case TensorUse::kRopeDivisors:
      return SyntheticTensor::Content::kRopeFactors;
  }
  return SyntheticTensor::Content::kWeights;
}

SyntheticTensor Describe(const SyntheticModel& model, const ModelTensor& tensor) {
  SyntheticTensor described{.name = tensor.name(),
                            .type = TypeOf(model, tensor),
                            .shape = {tensor.n_cols},
                            .content = ContentOf(tensor.role)};
  if (described.content != SyntheticTensor::Content::kWeights) return described;
  described.shape.push_back(tensor.n_rows);
  const bool is_logits =
      tensor.role == TensorRole::kOutput || tensor.role == TensorRole::kTokenEmbd;
  described.sigma = (is_logits ? kLogitDeviation : 1) * UnitGain(tensor.n_cols);
  return described;
}

Status Validate(const SyntheticModel& model) {
  const auto positive = {model.n_embd,    model.n_layer,  model.n_head,
                         model.n_head_kv, model.head_dim, model.n_ff};
  if (std::find(positive.begin(), positive.end(), 0U) != positive.end()) {
    return Fail(ErrorCode::kInvalidArgument,
                "n_embd, n_layer, n_head, n_head_kv, head_dim and n_ff must be positive");
  }
  if (model.n_head % model.n_head_kv != 0) {
    return Fail(ErrorCode::kInvalidArgument, "n_head {} is not a multiple of n_head_kv {}",
                model.n_head, model.n_head_kv);
  }
  if (model.head_dim % 2 != 0) {
    return Fail(ErrorCode::kInvalidArgument, "head_dim {} is odd: RoPE turns pairs",
                model.head_dim);
  }
  if (model.n_vocab < kMinSyntheticVocabulary) {
    return Fail(ErrorCode::kInvalidArgument, "n_vocab {}, expected at least {}", model.n_vocab,
                kMinSyntheticVocabulary);
  }
  return {};
}

void SetMetadata(const SyntheticModel& model, GgufWriter& writer) {
  const auto key = [&](std::string_view suffix) {
    return model.architecture + std::string(suffix);
  };
  writer.SetString("general.architecture", model.architecture);
  writer.SetString("general.name", model.name);
  if (!model.type) {
    writer.SetUint32("general.file_type", Q4KM().file_type);
    writer.SetUint32("general.quantization_version", kQuantizationVersion);
  }
  writer.SetUint32(key(".block_count"), model.n_layer);
  writer.SetUint32(key(".context_length"), model.n_ctx_train);
  writer.SetUint32(key(".embedding_length"), model.n_embd);
  writer.SetUint32(key(".feed_forward_length"), model.n_ff);
  writer.SetUint32(key(".attention.head_count"), model.n_head);
  writer.SetUint32(key(".attention.head_count_kv"), model.n_head_kv);
  writer.SetUint32(key(".attention.key_length"), model.head_dim);
  writer.SetUint32(key(".attention.value_length"), model.head_dim);
  writer.SetFloat32(key(".attention.layer_norm_rms_epsilon"), model.rms_eps);
  writer.SetUint32(key(".rope.dimension_count"), model.head_dim);
  writer.SetFloat32(key(".rope.freq_base"), static_cast<float>(model.rope_theta));
  if (model.rope_scaling == RopeScaling::kLinear) {
    writer.SetString(key(".rope.scaling.type"), "linear");
    writer.SetFloat32(key(".rope.scaling.factor"), static_cast<float>(model.rope_factor));
  }
  writer.SetUint32(key(".vocab_size"), model.n_vocab);
}

/// The description that a file with this metadata will be read as.
Result<HParams> ReadBack(const SyntheticModel& model, const GgufWriter& writer) {
  const std::vector<std::byte> header = writer.Header();
  Result<GgufFile> file = GgufFile::FromMemory(header, model.name);
  if (!file) return Propagate(file);
  Result<HParams> hparams = HParams::FromMetadata(*file);
  if (hparams) hparams->n_vocab = model.n_vocab;
  return hparams;
}

void CopyVocabulary(const GgufFile& vocabulary, GgufWriter& writer) {
  for (const MetaEntry& entry : vocabulary.metadata()) {
    if (entry.key.starts_with("tokenizer.")) writer.SetValue(entry.key, entry.value);
  }
}

std::vector<std::byte> ToBytes(const std::vector<float>& values) {
  std::vector<std::byte> bytes(values.size() * sizeof(float));
  std::memcpy(bytes.data(), values.data(), bytes.size());
  return bytes;
}

// Norm weights: around 1, as trained ones are.
std::vector<float> RandomNorm(uint64_t n, uint64_t seed) {
  std::vector<float> values(n);
  for (uint64_t i = 0; i < n; ++i) {
    values[i] = 0.75F + 0.5F * static_cast<float>(RandomBits(seed, i) >> 40) / (1 << 24);
  }
  return values;
}

// Biases: a fraction of the unit deviation of what they are added to.
std::vector<float> RandomBias(uint64_t n, uint64_t seed) {
  std::vector<float> values = RandomNorm(n, seed);
  for (float& value : values) value -= 1;
  return values;
}

// Makes and writes the tensors one after the other, the big ones in pieces that all threads share.
class TensorWriter {
 public:
  TensorWriter(GgufWriter& writer, const SyntheticWriteOptions& options, uint64_t total_bytes)
      : writer_(writer),
        options_(options),
        team_(options.n_threads > 0 ? options.n_threads : AvailableThreads()),
        total_bytes_(total_bytes) {}

  Status Write(std::span<const std::byte> bytes) {
    Status written = writer_.Write(bytes);
    written_bytes_ += bytes.size();
    if (written && options_.progress) {
      options_.progress(static_cast<double>(written_bytes_) / static_cast<double>(total_bytes_));
    }
    return written;
  }

  Status WriteRandom(const SyntheticTensor& tensor, uint64_t seed) {
    const GgmlTypeTraits& traits = TraitsOf(tensor.type);
    const uint64_t n_blocks = tensor.shape[0] * tensor.shape[1] / traits.block_elements;
    const uint64_t piece_blocks = kPieceBytes / traits.block_bytes;
    for (uint64_t first = 0; first < n_blocks; first += piece_blocks) {
      const uint64_t count = std::min(piece_blocks, n_blocks - first);
      piece_.resize(count * traits.block_bytes);
      team_.Run([&](TeamMember& member) {
        const auto [begin, end] = member.Share(count);
        FillRandomBlocks(tensor.type, tensor.sigma, seed, first + begin,
                         std::span(piece_).subspan(begin * traits.block_bytes,
                                                   (end - begin) * traits.block_bytes));
      });
      if (Status written = Write(piece_); !written) return written;
    }
    return {};
  }

 private:
  static constexpr uint64_t kPieceBytes = 16U << 20;
  GgufWriter& writer_;
  const SyntheticWriteOptions& options_;
  ThreadTeam team_;
  std::vector<std::byte> piece_;
  uint64_t total_bytes_;
  uint64_t written_bytes_ = 0;
};

const std::vector<SyntheticModel>& Presets() {
  static const std::vector<SyntheticModel> kPresets = {
      {.name = "llama-3.1-8b",
       .n_vocab = 128256,
       .n_embd = 4096,
       .n_layer = 32,
       .n_head = 32,
       .n_head_kv = 8,
       .head_dim = 128,
       .n_ff = 14336,
       .rope_scaling = RopeScaling::kLlama3},
      {.name = "llama-3.2-1b",
       .n_vocab = 128256,
       .n_embd = 2048,
       .n_layer = 16,
       .n_head = 32,
       .n_head_kv = 8,
       .head_dim = 64,
       .n_ff = 8192,
       .tied = true,
       .rope_scaling = RopeScaling::kLlama3,
       .rope_factor = 32},
      {.name = "llama-3.2-3b",
       .n_vocab = 128256,
       .n_embd = 3072,
       .n_layer = 28,
       .n_head = 24,
       .n_head_kv = 8,
       .head_dim = 128,
       .n_ff = 8192,
       .tied = true,
       .rope_scaling = RopeScaling::kLlama3,
       .rope_factor = 32},
      {.name = "qwen2.5-7b",
       .architecture = "qwen2",
       .n_vocab = 152064,
       .n_ctx_train = 32768,
       .n_embd = 3584,
       .n_layer = 28,
       .n_head = 28,
       .n_head_kv = 4,
       .head_dim = 128,
       .n_ff = 18944,
       .rope_theta = 1e6,
       .rms_eps = 1e-6F},
      {.name = "qwen3-4b",
       .architecture = "qwen3",
       .n_vocab = 151936,
       .n_ctx_train = 40960,
       .n_embd = 2560,
       .n_layer = 36,
       .n_head = 32,
       .n_head_kv = 8,
       .head_dim = 128,
       .n_ff = 9728,
       .tied = true,
       .rope_theta = 1e6,
       .rms_eps = 1e-6F},
  };
  return kPresets;
}

uint64_t TensorBytes(const SyntheticTensor& tensor) {
  const uint64_t n_rows = tensor.shape.size() > 1 ? tensor.shape[1] : 1;
  return RowBytes(tensor.type, tensor.shape[0]) * n_rows;
}

}  // namespace

Result<SyntheticModel> SyntheticModel::Preset(std::string_view name) {
  const std::vector<SyntheticModel>& presets = Presets();
  const auto found = std::ranges::find(presets, name, &SyntheticModel::name);
  if (found != presets.end()) return *found;
  return Fail(ErrorCode::kNotFound, "no preset '{}', expected one of {}", name, PresetNames());
}

std::string SyntheticModel::PresetNames() {
  std::string names;
  for (const SyntheticModel& preset : Presets()) {
    if (!names.empty()) names += ", ";
    names += preset.name;
  }
  return names;
}

std::vector<float> Llama3RopeFactors(uint32_t n_rot, double theta, double factor) {
  constexpr double kOriginalContext = 8192;
  constexpr double kLowFrequencyFactor = 1;
  constexpr double kHighFrequencyFactor = 4;
  std::vector<float> factors(n_rot / 2);
  for (size_t i = 0; i < factors.size(); ++i) {
    const double wavelength =
        2 * std::numbers::pi * std::pow(theta, 2 * static_cast<double>(i) / n_rot);
    const double turns = kOriginalContext / wavelength;
    const double unscaled_share = std::clamp(
        (turns - kLowFrequencyFactor) / (kHighFrequencyFactor - kLowFrequencyFactor), 0.0, 1.0);
    factors[i] = static_cast<float>(1 / ((1 - unscaled_share) / factor + unscaled_share));
  }
  return factors;
}

Result<std::vector<SyntheticTensor>> SyntheticTensorsOf(const SyntheticModel& model) {
  if (Status valid = Validate(model); !valid) return Propagate(valid);
  GgufWriter writer;
  SetMetadata(model, writer);
  Result<HParams> hparams = ReadBack(model, writer);
  if (!hparams) return Propagate(hparams);
  std::vector<SyntheticTensor> tensors;
  for (const ModelTensor& tensor : TensorsOf(*hparams)) {
    const bool is_there = tensor.role == TensorRole::kRopeFreqs
                              ? model.rope_scaling == RopeScaling::kLlama3
                          : tensor.role == TensorRole::kOutput ? !model.tied
                                                               : !tensor.optional;
    if (is_there) tensors.push_back(Describe(model, tensor));
  }
  return tensors;
}

Status WriteSyntheticModel(SyntheticModel model, const std::string& path,
                           const SyntheticWriteOptions& options) {
  if (options.vocabulary != nullptr) {
    auto tokens = options.vocabulary->GetStrings("tokenizer.ggml.tokens");
    if (!tokens) return Propagate(tokens);
    model.n_vocab = static_cast<uint32_t>(tokens->size());
  }
  Result<std::vector<SyntheticTensor>> described = SyntheticTensorsOf(model);
  if (!described) return Propagate(described);
  const std::vector<SyntheticTensor>& tensors = *described;

  GgufWriter writer;
  SetMetadata(model, writer);
  if (options.vocabulary != nullptr) {
    CopyVocabulary(*options.vocabulary, writer);
  } else {
    SetSyntheticVocabulary(model.n_vocab, writer);
  }
  uint64_t total_bytes = 0;
  for (const SyntheticTensor& tensor : tensors) {
    writer.AddTensor(tensor.name, tensor.type, tensor.shape);
    total_bytes += TensorBytes(tensor);
  }
  if (Status opened = writer.Open(path); !opened) return opened;

  TensorWriter tensor_writer(writer, options, total_bytes);
  for (size_t i = 0; i < tensors.size(); ++i) {
    const SyntheticTensor& tensor = tensors[i];
    const uint64_t seed = RandomBits(model.seed, i);
    Status written;
    switch (tensor.content) {
      case SyntheticTensor::Content::kWeights:
        written = tensor_writer.WriteRandom(tensor, seed);
        break;
      case SyntheticTensor::Content::kNorm:
        written = tensor_writer.Write(ToBytes(RandomNorm(tensor.shape[0], seed)));
        break;
      case SyntheticTensor::Content::kBias:
        written = tensor_writer.Write(ToBytes(RandomBias(tensor.shape[0], seed)));
        break;
      case SyntheticTensor::Content::kRopeFactors:
        written = tensor_writer.Write(
            ToBytes(Llama3RopeFactors(model.head_dim, model.rope_theta, model.rope_factor)));
        break;
    }
    if (!written) return written;
  }
  return writer.Finish();
}

}  // namespace quern
