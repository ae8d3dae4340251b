#include "runtime/model/hparams.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "gguf/base/printable.h"
#include "runtime/model/architecture.h"
#include "runtime/model/hparams_reader.h"
#include "runtime/model/rope_frequencies.h"
#include "runtime/model/tensor_role.h"

namespace quern {
namespace {

constexpr uint64_t kMostWidth = 1 << 20;
constexpr uint64_t kMostLayers = 4096;
constexpr uint64_t kMostHeadDim = 512;
constexpr uint64_t kMostContext = 1 << 28;
constexpr uint64_t kMostVocab = 1 << 24;

Result<uint32_t> VocabularySize(const GgufFile& file) {
  const std::string_view name = NameOf(TensorRole::kTokenEmbd);
  const TensorInfo* embedding = file.FindTensor(name);
  if (embedding == nullptr) {
    return Fail(ErrorCode::kCorruptFile, "{}: no tensor '{}': not a whole model", file.name(),
                name);
  }
  if (embedding->n_rows() > kMostVocab) {
    return Fail(ErrorCode::kCorruptFile, "{}: tensor '{}' has {} rows, expected at most {}",
                file.name(), name, embedding->n_rows(), kMostVocab);
  }
  return static_cast<uint32_t>(embedding->n_rows());
}

std::string NamesOf(Families families) {
  std::string names;
  for (const Architecture* architecture : families) {
    if (!names.empty()) names += ", ";
    names += architecture->name;
  }
  return names;
}

/// Elements of a head: the file's, else an even share of the embedding's.
uint32_t ReadHeadDim(HParamsReader& reader, uint32_t n_embd, uint32_t n_head) {
  if (!reader.status()) return 0;
  const uint32_t even_share = n_embd / n_head;
  if (!reader.Has("attention.key_length") && (even_share < 1 || even_share > kMostHeadDim)) {
    reader.Refuse(ErrorCode::kCorruptFile,
                  "{} {} in {} heads ({}) makes heads of {}, expected 1 to {}",
                  reader.Key("embedding_length"), n_embd, n_head,
                  reader.Key("attention.head_count"), even_share, kMostHeadDim);
    return 0;
  }
  return reader.CountOr("attention.key_length", even_share, kMostHeadDim);
}

/// A Llama's layer from the common keys, with the first RoPE table.
LayerSpec ReadLayer(HParamsReader& reader, uint32_t n_embd) {
  LayerSpec layer;
  layer.ffn.n_ff = reader.Count("feed_forward_length", kMostWidth);
  AttentionSpec& attention = layer.attention;
  attention.n_head = reader.Count("attention.head_count", kMostWidth);
  attention.n_head_kv = reader.CountOr("attention.head_count_kv", attention.n_head, kMostWidth);
  attention.k_dim = ReadHeadDim(reader, n_embd, attention.n_head);
  attention.v_dim = reader.CountOr("attention.value_length", attention.k_dim, kMostHeadDim);
  attention.rope = 0;
  attention.scale = 1.0 / std::sqrt(static_cast<double>(attention.k_dim));
  return layer;
}

/// Refuses what the description can say and the forward pass does not run, by layer and name.
void RefuseUnrunnable(HParamsReader& reader, const HParams& hparams) {
  for (uint32_t i = 0; i < hparams.n_layer() && reader.status(); ++i) {
    const LayerSpec& layer = hparams.layers[i];
    const AttentionSpec& attention = layer.attention;
    const auto unsupported = [&](std::string_view what) {
      reader.Refuse(ErrorCode::kUnsupported, "layer {}: {} not supported", i, what);
    };
    if (attention.n_head % attention.n_head_kv != 0) {
      reader.Refuse(ErrorCode::kCorruptFile, "{} heads are not a multiple of {} KV heads",
                    attention.n_head, attention.n_head_kv);
    } else if (attention.v_dim != attention.k_dim) {
      reader.Refuse(ErrorCode::kUnsupported,
                    "keys of {} and values of {}: expected the same length", attention.k_dim,
                    attention.v_dim);
    } else if (attention.window > 0) {
      unsupported("a sliding window is");
    } else if (attention.score_cap != 0) {
      unsupported("a cap of attention scores is");
    } else if (attention.sinks) {
      unsupported("attention sinks are");
    } else if (layer.ffn.kind == FeedForwardKind::kExperts) {
      unsupported("a mixture of experts is");
    } else if (layer.ffn.kind != FeedForwardKind::kGated ||
               layer.ffn.activation != Activation::kSilu) {
      unsupported("a feed-forward other than SwiGLU is");
    }
  }
}

/// The keys that Llama and most others have, every layer alike.
void ReadCommonKeys(HParamsReader& reader, HParams& hparams) {
  hparams.name = reader.TextOr("general.name", "");
  hparams.n_ctx_train = reader.Count("context_length", kMostContext);
  hparams.n_embd = reader.Count("embedding_length", kMostWidth);
  const uint32_t n_layer = reader.Count("block_count", kMostLayers);
  hparams.norm_eps =
      static_cast<float>(reader.PositiveOr("attention.layer_norm_rms_epsilon", 1e-5));
  const LayerSpec layer = ReadLayer(reader, hparams.n_embd);
  if (!reader.status()) return;
  hparams.layers.assign(n_layer, layer);

  const uint32_t head_dim = layer.attention.k_dim;
  const uint32_t n_rot = reader.CountOr("rope.dimension_count", head_dim, kMostHeadDim);
  const uint64_t n_expert = reader.file().GetUintOr(reader.Key("expert_count"), 0).value_or(0);
  if (n_expert > 0) {
    reader.Refuse(ErrorCode::kUnsupported, "a mixture of {} experts is not supported", n_expert);
  }
  if (reader.status() && (head_dim % 2 != 0 || n_rot % 2 != 0 || n_rot > head_dim)) {
    reader.Refuse(ErrorCode::kUnsupported,
                  "heads of {} with {} rotated elements: expected even numbers, the second at most"
                  " the first",
                  head_dim, n_rot);
  }
  if (!reader.status()) return;
  hparams.ropes.push_back({.n_rot = n_rot, .frequencies = ReadRopeFrequencies(reader, n_rot)});
}

}  // namespace

Result<HParams> HParams::Load(const GgufFile& file, Families families) {
  Result<HParams> hparams = FromMetadata(file, families);
  if (!hparams) return hparams;
  Result<uint32_t> n_vocab = VocabularySize(file);
  if (!n_vocab) return Propagate(n_vocab);
  hparams->n_vocab = *n_vocab;
  return hparams;
}

Result<HParams> HParams::FromMetadata(const GgufFile& file, Families families) {
  if (families.empty()) families = Architectures();
  Result<std::string_view> arch = file.GetString("general.architecture");
  if (!arch) return Propagate(arch);
  HParams hparams;
  const auto family = std::ranges::find(families, *arch, &Architecture::name);
  if (family == families.end()) {
    return Fail(ErrorCode::kUnsupported, "{}: architecture {} is not one Quern runs ({})",
                file.name(), Quoted(*arch), NamesOf(families));
  }
  hparams.architecture = *family;
  HParamsReader reader(file, std::string(*arch));
  ReadCommonKeys(reader, hparams);
  if (reader.status()) hparams.architecture->describe(reader, hparams);
  if (reader.status()) RefuseUnrunnable(reader, hparams);
  if (Status status = reader.status(); !status) return Propagate(status);
  return hparams;
}

}  // namespace quern
