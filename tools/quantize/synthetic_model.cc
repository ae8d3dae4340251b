#include "tools/quantize/synthetic_model.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numbers>

#include "gguf/gguf_writer.h"
#include "runtime/machine/thread_team.h"
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

class TensorList {
 public:
  explicit TensorList(const SyntheticModel& model) : model_(model) {}

  void AddFloats(std::string name, uint64_t n, SyntheticTensor::Content content) {
    tensors_.push_back({std::move(name), GgmlType::kF32, {n}, content});
  }
  void AddMatrix(std::string name, uint64_t n_cols, uint64_t n_rows, double gain = 1) {
    const GgmlType type = TypeOf(name, n_cols, n_rows);
    tensors_.push_back({std::move(name),
                        type,
                        {n_cols, n_rows},
                        SyntheticTensor::Content::kWeights,
                        gain * UnitGain(n_cols)});
  }
  std::vector<SyntheticTensor> Take() { return std::move(tensors_); }

 private:
  GgmlType TypeOf(std::string_view name, uint64_t n_cols, uint64_t n_rows) const {
    if (model_.type) {
      const bool fits = n_cols % TraitsOf(*model_.type).block_elements == 0;
      return fits ? *model_.type : GgmlType::kF16;
    }
    QuantizedModelShape shape;
    shape.n_layer = model_.n_layer;
    shape.tied_output = model_.tied;
    TensorInfo matrix{};
    matrix.name = name;
    matrix.n_dims = 2;
    matrix.shape = {n_cols, n_rows, 1, 1};
    return ChooseTensorType(Q4KM(), false, shape, matrix);
  }

  const SyntheticModel& model_;
  std::vector<SyntheticTensor> tensors_;
};

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
  writer.SetString("general.architecture", "llama");
  writer.SetString("general.name", model.name);
  if (!model.type) {
    writer.SetUint32("general.file_type", Q4KM().file_type);
    writer.SetUint32("general.quantization_version", kQuantizationVersion);
  }
  writer.SetUint32("llama.block_count", model.n_layer);
  writer.SetUint32("llama.context_length", model.n_ctx_train);
  writer.SetUint32("llama.embedding_length", model.n_embd);
  writer.SetUint32("llama.feed_forward_length", model.n_ff);
  writer.SetUint32("llama.attention.head_count", model.n_head);
  writer.SetUint32("llama.attention.head_count_kv", model.n_head_kv);
  writer.SetUint32("llama.attention.key_length", model.head_dim);
  writer.SetUint32("llama.attention.value_length", model.head_dim);
  writer.SetFloat32("llama.attention.layer_norm_rms_epsilon", model.rms_eps);
  writer.SetUint32("llama.rope.dimension_count", model.head_dim);
  writer.SetFloat32("llama.rope.freq_base", static_cast<float>(model.rope_theta));
  if (model.rope_scaling == RopeScaling::kLinear) {
    writer.SetString("llama.rope.scaling.type", "linear");
    writer.SetFloat32("llama.rope.scaling.factor", static_cast<float>(model.rope_factor));
  }
  writer.SetUint32("llama.vocab_size", model.n_vocab);
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

uint64_t TensorBytes(const SyntheticTensor& tensor) {
  const uint64_t n_rows = tensor.shape.size() > 1 ? tensor.shape[1] : 1;
  return RowBytes(tensor.type, tensor.shape[0]) * n_rows;
}

}  // namespace

Result<SyntheticModel> SyntheticModel::Preset(std::string_view name) {
  SyntheticModel model;
  model.name = name;
  model.n_vocab = 128256;
  model.rope_scaling = RopeScaling::kLlama3;
  model.n_head_kv = 8;
  if (name == "llama-3.1-8b") {
    model.n_embd = 4096;
    model.n_layer = 32;
    model.n_head = 32;
    model.head_dim = 128;
    model.n_ff = 14336;
    return model;
  }
  model.tied = true;
  model.rope_factor = 32;
  model.n_ff = 8192;
  if (name == "llama-3.2-1b") {
    model.n_embd = 2048;
    model.n_layer = 16;
    model.n_head = 32;
    model.head_dim = 64;
    return model;
  }
  if (name == "llama-3.2-3b") {
    model.n_embd = 3072;
    model.n_layer = 28;
    model.n_head = 24;
    model.head_dim = 128;
    return model;
  }
  return Fail(ErrorCode::kNotFound,
              "no preset '{}', expected llama-3.1-8b, llama-3.2-1b or llama-3.2-3b", name);
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

std::vector<SyntheticTensor> TensorsOf(const SyntheticModel& model) {
  using Content = SyntheticTensor::Content;
  const uint64_t n_q = uint64_t{model.n_head} * model.head_dim;
  const uint64_t n_kv = uint64_t{model.n_head_kv} * model.head_dim;
  TensorList list(model);
  if (model.rope_scaling == RopeScaling::kLlama3) {
    list.AddFloats("rope_freqs.weight", model.head_dim / 2, Content::kRopeFactors);
  }
  list.AddMatrix("token_embd.weight", model.n_embd, model.n_vocab, kLogitDeviation);
  for (uint32_t layer = 0; layer < model.n_layer; ++layer) {
    const std::string block = fmt::format("blk.{}.", layer);
    list.AddFloats(block + "attn_norm.weight", model.n_embd, Content::kNorm);
    list.AddMatrix(block + "attn_q.weight", model.n_embd, n_q);
    list.AddMatrix(block + "attn_k.weight", model.n_embd, n_kv);
    list.AddMatrix(block + "attn_v.weight", model.n_embd, n_kv);
    list.AddMatrix(block + "attn_output.weight", n_q, model.n_embd);
    list.AddFloats(block + "ffn_norm.weight", model.n_embd, Content::kNorm);
    list.AddMatrix(block + "ffn_gate.weight", model.n_embd, model.n_ff);
    list.AddMatrix(block + "ffn_up.weight", model.n_embd, model.n_ff);
    list.AddMatrix(block + "ffn_down.weight", model.n_ff, model.n_embd);
  }
  list.AddFloats("output_norm.weight", model.n_embd, Content::kNorm);
  if (!model.tied) {
    list.AddMatrix("output.weight", model.n_embd, model.n_vocab, kLogitDeviation);
  }
  return list.Take();
}

Status WriteSyntheticModel(SyntheticModel model, const std::string& path,
                           const SyntheticWriteOptions& options) {
  if (options.vocabulary != nullptr) {
    auto tokens = options.vocabulary->GetStrings("tokenizer.ggml.tokens");
    if (!tokens) return Propagate(tokens);
    model.n_vocab = static_cast<uint32_t>(tokens->size());
  }
  if (Status valid = Validate(model); !valid) return valid;

  GgufWriter writer;
  SetMetadata(model, writer);
  if (options.vocabulary != nullptr) {
    CopyVocabulary(*options.vocabulary, writer);
  } else {
    SetSyntheticVocabulary(model.n_vocab, writer);
  }
  const std::vector<SyntheticTensor> tensors = TensorsOf(model);
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
