#include "tests/testing/reference_forward.h"

#include <cmath>
#include <string>

#include "kernels/reference.h"
#include "runtime/model/tensor_role.h"

namespace quern::testing {
namespace {

std::vector<double> Values(const GgufFile& file, TensorRole role, uint32_t layer = 0) {
  const TensorInfo* tensor = file.FindTensor(TensorName(role, layer));
  if (tensor == nullptr) return {};
  std::vector<float> floats(tensor->n_elements());
  const size_t row_bytes = RowBytes(tensor->type, tensor->n_cols());
  for (size_t row = 0; row < tensor->n_rows(); ++row) {
    DequantizeRow(tensor->type, tensor->data.data() + row * row_bytes, tensor->n_cols(),
                  floats.data() + row * tensor->n_cols());
  }
  return {floats.begin(), floats.end()};
}

double Dot(std::span<const double> a, std::span<const double> b) {
  double sum = 0;
  for (size_t i = 0; i < a.size(); ++i) sum += a[i] * b[i];
  return sum;
}

/// x += scale * y; of an empty y nothing.
void Add(std::span<const double> y, std::span<double> x, double scale = 1) {
  for (size_t i = 0; i < y.size(); ++i) x[i] += scale * y[i];
}

double Capped(double x, double cap) { return cap == 0 ? x : cap * std::tanh(x / cap); }

}  // namespace

std::vector<double> ReferenceModel::Matrix::operator*(std::span<const double> x) const {
  std::vector<double> y(n_rows);
  for (size_t row = 0; row < n_rows; ++row) {
    y[row] = Dot(std::span(values).subspan(row * n_cols, n_cols), x);
  }
  return y;
}

ReferenceModel::ReferenceModel(const GgufFile& file, Families families)
    : hparams_(HParams::Load(file, families).value()) {
  const auto matrix = [&file](TensorRole role, uint32_t layer = 0) {
    const TensorInfo& tensor = *file.FindTensor(TensorName(role, layer));
    return Matrix{tensor.n_rows(), tensor.n_cols(), Values(file, role, layer)};
  };
  using enum TensorRole;
  embedding_ = matrix(kTokenEmbd);
  output_norm_ = Values(file, kOutputNorm);
  const bool tied = file.FindTensor(NameOf(kOutput)) == nullptr;
  output_ = tied ? embedding_ : matrix(kOutput);
  for (uint32_t i = 0; i < hparams_.n_layer(); ++i) {
    layers_.push_back({.attn_norm = Values(file, kAttnNorm, i),
                       .attn_post_norm = Values(file, kAttnPostNorm, i),
                       .ffn_norm = Values(file, kFfnNorm, i),
                       .ffn_post_norm = Values(file, kFfnPostNorm, i),
                       .q_bias = Values(file, kAttnQBias, i),
                       .k_bias = Values(file, kAttnKBias, i),
                       .v_bias = Values(file, kAttnVBias, i),
                       .q_norm = Values(file, kAttnQNorm, i),
                       .k_norm = Values(file, kAttnKNorm, i),
                       .q = matrix(kAttnQ, i),
                       .k = matrix(kAttnK, i),
                       .v = matrix(kAttnV, i),
                       .output = matrix(kAttnOutput, i),
                       .gate = matrix(kFfnGate, i),
                       .up = matrix(kFfnUp, i),
                       .down = matrix(kFfnDown, i)});
  }
}

// RMSNorm: x / sqrt(mean(x^2) + eps) * w; without weights x itself.
std::vector<double> ReferenceModel::Norm(std::span<const double> x,
                                         std::span<const double> weight) const {
  std::vector<double> y(x.begin(), x.end());
  if (weight.empty()) return y;
  const double scale =
      1 / std::sqrt(Dot(x, x) / static_cast<double>(x.size()) + double{hparams_.norm_eps});
  for (size_t i = 0; i < x.size(); ++i) y[i] = x[i] * scale * weight[i];
  return y;
}

// The norm of each head for itself.
void ReferenceModel::NormHeads(std::span<double> heads, std::span<const double> weight) const {
  if (weight.empty()) return;
  for (size_t at = 0; at < heads.size(); at += weight.size()) {
    const std::vector<double> normed = Norm(heads.subspan(at, weight.size()), weight);
    for (size_t i = 0; i < normed.size(); ++i) heads[at + i] = normed[i];
  }
}

// RoPE: pair i of the first n_rot elements of every head, turned by position * frequency i.
void ReferenceModel::Rotate(const RopeTable& rope, size_t head_dim, size_t position,
                            std::span<double> heads) {
  for (size_t head = 0; head < heads.size(); head += head_dim) {
    for (size_t i = 0; i < rope.n_rot / 2; ++i) {
      const bool adjacent = rope.style == RopeStyle::kAdjacent;
      double& first = heads[head + (adjacent ? 2 * i : i)];
      double& second = heads[head + (adjacent ? 2 * i + 1 : i + rope.n_rot / 2)];
      const double angle = static_cast<double>(position) * rope.frequencies[i];
      const double x = first;
      const double y = second;
      first = x * std::cos(angle) - y * std::sin(angle);
      second = x * std::sin(angle) + y * std::cos(angle);
    }
  }
}

// softmax(cap(scale * q . k)) v of the newest position, for each head over those it sees; n_head /
// n_head_kv query heads share a KV head.
std::vector<double> ReferenceModel::Attend(const AttentionSpec& spec, std::span<const double> q,
                                           const Cache& cache) {
  std::vector<double> out(spec.out_width());
  const size_t n = cache.keys.size();
  const size_t first = spec.window > 0 && n > spec.window ? n - spec.window : 0;
  for (size_t head = 0; head < spec.n_head; ++head) {
    const auto query = q.subspan(head * spec.k_dim, spec.k_dim);
    const size_t head_kv = head / spec.group();
    std::vector<double> weights;
    double sum = 0;
    for (size_t t = first; t < n; ++t) {
      const auto key = std::span(cache.keys[t]).subspan(head_kv * spec.k_dim, spec.k_dim);
      weights.push_back(std::exp(Capped(spec.scale * Dot(query, key), spec.score_cap)));
      sum += weights.back();
    }
    for (size_t t = first; t < n; ++t) {
      for (size_t i = 0; i < spec.v_dim; ++i) {
        out[head * spec.v_dim + i] +=
            weights[t - first] / sum * cache.values[t][head_kv * spec.v_dim + i];
      }
    }
  }
  return out;
}

std::vector<double> ReferenceModel::Attention(size_t index, std::span<const double> x,
                                              Cache& cache) const {
  const Layer& layer = layers_[index];
  const AttentionSpec& spec = hparams_.layers[index].attention;
  const std::vector<double> in = Norm(x, layer.attn_norm);
  std::vector<double> q = layer.q * in;
  std::vector<double> k = layer.k * in;
  std::vector<double> v = layer.v * in;
  Add(layer.q_bias, q);
  Add(layer.k_bias, k);
  Add(layer.v_bias, v);
  NormHeads(q, layer.q_norm);
  NormHeads(k, layer.k_norm);
  if (spec.rope) {
    const size_t position = cache.keys.size();
    Rotate(hparams_.ropes[*spec.rope], spec.k_dim, position, q);
    Rotate(hparams_.ropes[*spec.rope], spec.k_dim, position, k);
  }
  cache.keys.push_back(std::move(k));
  cache.values.push_back(std::move(v));
  return Norm(layer.output * Attend(spec, q, cache), layer.attn_post_norm);
}

// SwiGLU: down(silu(gate) * up), silu(z) = z / (1 + e^-z).
std::vector<double> ReferenceModel::FeedForward(size_t index, std::span<const double> x) const {
  const Layer& layer = layers_[index];
  const std::vector<double> in = Norm(x, layer.ffn_norm);
  std::vector<double> hidden = layer.gate * in;
  const std::vector<double> up = layer.up * in;
  for (size_t j = 0; j < hidden.size(); ++j) hidden[j] *= up[j] / (1 + std::exp(-hidden[j]));
  return Norm(layer.down * hidden, layer.ffn_post_norm);
}

std::vector<double> ReferenceModel::Logits(std::span<const Token> tokens) const {
  std::vector<Cache> caches(layers_.size());
  std::vector<double> logits;
  for (const Token token : tokens) {
    const auto row = static_cast<size_t>(token) * embedding_.n_cols;
    std::vector<double> x(embedding_.n_cols);
    Add(std::span(embedding_.values).subspan(row, x.size()), x, hparams_.embedding_scale);
    for (size_t i = 0; i < layers_.size(); ++i) {
      const double scale = hparams_.layers[i].residual_scale;
      Add(Attention(i, x, caches[i]), x, scale);
      Add(FeedForward(i, x), x, scale);
    }
    for (const double logit : output_* Norm(x, output_norm_)) {
      logits.push_back(Capped(logit * hparams_.logit_scale, hparams_.logit_cap));
    }
  }
  return logits;
}

}  // namespace quern::testing
