#include "tests/testing/reference_forward.h"

#include <cmath>
#include <numbers>

#include "kernels/reference.h"

namespace quern::testing {
namespace {

std::vector<double> Values(const GgufFile& file, const std::string& name) {
  const TensorInfo& tensor = *file.FindTensor(name);
  std::vector<float> floats(tensor.n_elements());
  const size_t row_bytes = RowBytes(tensor.type, tensor.n_cols());
  for (size_t row = 0; row < tensor.n_rows(); ++row) {
    DequantizeRow(tensor.type, tensor.data.data() + row * row_bytes, tensor.n_cols(),
                  floats.data() + row * tensor.n_cols());
  }
  return {floats.begin(), floats.end()};
}

// Llama 3.1's scaling of one frequency: unchanged for wavelengths below L / high, divided by the
// factor above L / low, blended between.
double Llama3Scaled(double frequency, double factor, double low, double high, double length) {
  const double wavelength = 2 * std::numbers::pi / frequency;
  if (wavelength < length / high) return frequency;
  if (wavelength > length / low) return frequency / factor;
  const double blend = (length / wavelength - low) / (high - low);
  return (1 - blend) * frequency / factor + blend * frequency;
}

// theta^(-2i/d), then whatever scaling the file states.
std::vector<double> Frequencies(const GgufFile& file, size_t head_dim) {
  const double theta = *file.GetFloatOr("llama.rope.freq_base", 10000);
  const std::string_view scaling = *file.GetStringOr("llama.rope.scaling.type", "none");
  const double factor = *file.GetFloatOr("llama.rope.scaling.factor", 1);
  std::vector<double> divisors(head_dim / 2, 1.0);
  if (file.FindTensor("rope_freqs.weight") != nullptr) {
    divisors = Values(file, "rope_freqs.weight");
  }
  std::vector<double> frequencies;
  for (size_t i = 0; i < head_dim / 2; ++i) {
    double frequency =
        std::pow(theta, -2.0 * static_cast<double>(i) / static_cast<double>(head_dim));
    if (scaling == "linear") frequency /= factor;
    if (scaling == "llama3") {
      frequency =
          Llama3Scaled(frequency, factor, *file.GetFloatOr("llama.rope.scaling.low_freq_factor", 1),
                       *file.GetFloatOr("llama.rope.scaling.high_freq_factor", 4),
                       *file.GetFloatOr("llama.rope.scaling.original_context_length", 8192));
    }
    frequencies.push_back(frequency / divisors[i]);
  }
  return frequencies;
}

double Dot(std::span<const double> a, std::span<const double> b) {
  double sum = 0;
  for (size_t i = 0; i < a.size(); ++i) sum += a[i] * b[i];
  return sum;
}

void Add(std::span<const double> y, std::span<double> x) {
  for (size_t i = 0; i < x.size(); ++i) x[i] += y[i];
}

}  // namespace

std::vector<double> ReferenceModel::Matrix::operator*(std::span<const double> x) const {
  std::vector<double> y(n_rows);
  for (size_t row = 0; row < n_rows; ++row) {
    y[row] = Dot(std::span(values).subspan(row * n_cols, n_cols), x);
  }
  return y;
}

ReferenceModel::ReferenceModel(const GgufFile& file)
    : rms_eps_(*file.GetFloat("llama.attention.layer_norm_rms_epsilon")),
      n_head_(*file.GetUint("llama.attention.head_count")),
      n_head_kv_(*file.GetUintOr("llama.attention.head_count_kv", n_head_)),
      head_dim_(*file.GetUintOr("llama.attention.key_length",
                                *file.GetUint("llama.embedding_length") / n_head_)),
      frequencies_(Frequencies(file, head_dim_)) {
  const auto matrix = [&file](const std::string& name) {
    const TensorInfo& tensor = *file.FindTensor(name);
    return Matrix{tensor.n_rows(), tensor.n_cols(), Values(file, name)};
  };
  embedding_ = matrix("token_embd.weight");
  output_norm_ = Values(file, "output_norm.weight");
  const bool tied = file.FindTensor("output.weight") == nullptr;
  output_ = tied ? embedding_ : matrix("output.weight");
  const size_t n_layer = *file.GetUint("llama.block_count");
  for (size_t i = 0; i < n_layer; ++i) {
    const std::string block = fmt::format("blk.{}.", i);
    layers_.push_back({.attn_norm = Values(file, block + "attn_norm.weight"),
                       .ffn_norm = Values(file, block + "ffn_norm.weight"),
                       .q = matrix(block + "attn_q.weight"),
                       .k = matrix(block + "attn_k.weight"),
                       .v = matrix(block + "attn_v.weight"),
                       .output = matrix(block + "attn_output.weight"),
                       .gate = matrix(block + "ffn_gate.weight"),
                       .up = matrix(block + "ffn_up.weight"),
                       .down = matrix(block + "ffn_down.weight")});
  }
}

// RMSNorm: x / sqrt(mean(x^2) + eps) * w.
std::vector<double> ReferenceModel::Norm(std::span<const double> x,
                                         std::span<const double> weight) const {
  const double scale = 1 / std::sqrt(Dot(x, x) / static_cast<double>(x.size()) + rms_eps_);
  std::vector<double> y(x.size());
  for (size_t i = 0; i < x.size(); ++i) y[i] = x[i] * scale * weight[i];
  return y;
}

// RoPE: pair i of every head, elements 2i and 2i + 1, turned by position * frequency i.
void ReferenceModel::Rotate(size_t position, std::span<double> heads) const {
  for (size_t at = 0; at < heads.size(); at += 2) {
    const double angle = static_cast<double>(position) * frequencies_[at % head_dim_ / 2];
    const double x = heads[at];
    const double y = heads[at + 1];
    heads[at] = x * std::cos(angle) - y * std::sin(angle);
    heads[at + 1] = x * std::sin(angle) + y * std::cos(angle);
  }
}

// softmax(q . k / sqrt(head_dim)) v for each head; n_head / n_head_kv query heads share a KV head.
std::vector<double> ReferenceModel::Attend(std::span<const double> q,
                                           std::span<const std::vector<double>> keys,
                                           std::span<const std::vector<double>> values) const {
  std::vector<double> out(q.size());
  for (size_t head = 0; head < n_head_; ++head) {
    const auto query = q.subspan(head * head_dim_, head_dim_);
    const size_t kv_at = head / (n_head_ / n_head_kv_) * head_dim_;
    std::vector<double> weights;
    double sum = 0;
    for (const std::vector<double>& key : keys) {
      const double score = Dot(query, std::span(key).subspan(kv_at, head_dim_)) /
                           std::sqrt(static_cast<double>(head_dim_));
      weights.push_back(std::exp(score));
      sum += weights.back();
    }
    for (size_t t = 0; t < weights.size(); ++t) {
      for (size_t i = 0; i < head_dim_; ++i) {
        out[head * head_dim_ + i] += weights[t] / sum * values[t][kv_at + i];
      }
    }
  }
  return out;
}

std::vector<double> ReferenceModel::Logits(std::span<const Token> tokens) const {
  // Keys and values of each layer, by position.
  std::vector<std::vector<std::vector<double>>> keys(layers_.size());
  std::vector<std::vector<std::vector<double>>> values(layers_.size());
  std::vector<double> logits;
  for (size_t position = 0; position < tokens.size(); ++position) {
    const auto row = static_cast<size_t>(tokens[position]) * embedding_.n_cols;
    std::vector<double> x(
        embedding_.values.begin() + static_cast<ptrdiff_t>(row),
        embedding_.values.begin() + static_cast<ptrdiff_t>(row + embedding_.n_cols));
    for (size_t i = 0; i < layers_.size(); ++i) {
      const Layer& layer = layers_[i];
      const std::vector<double> attn_in = Norm(x, layer.attn_norm);
      std::vector<double> q = layer.q * attn_in;
      std::vector<double> k = layer.k * attn_in;
      Rotate(position, q);
      Rotate(position, k);
      keys[i].push_back(std::move(k));
      values[i].push_back(layer.v * attn_in);
      Add(layer.output * Attend(q, keys[i], values[i]), x);

      // SwiGLU: down(silu(gate) * up), silu(z) = z / (1 + e^-z).
      const std::vector<double> ffn_in = Norm(x, layer.ffn_norm);
      std::vector<double> hidden = layer.gate * ffn_in;
      const std::vector<double> up = layer.up * ffn_in;
      for (size_t j = 0; j < hidden.size(); ++j) hidden[j] *= up[j] / (1 + std::exp(-hidden[j]));
      Add(layer.down * hidden, x);
    }
    const std::vector<double> row_logits = output_ * Norm(x, output_norm_);
    logits.insert(logits.end(), row_logits.begin(), row_logits.end());
  }
  return logits;
}

}  // namespace quern::testing
