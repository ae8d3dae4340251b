// What a decoder computes, as data: the description of its layers that everything else follows.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "kernels/ops.h"

namespace quern {

/// The angles of one kind of rotary embedding (RoPE, arXiv:2104.09864).
struct RopeTable {
  bool operator==(const RopeTable&) const = default;

  RopeStyle style = RopeStyle::kAdjacent;
  uint32_t n_rot = 0;  ///< elements of a head that are turned, its first; even
  /// Radians per position of each pair, scaling included; n_rot/2 of them.
  std::vector<double> frequencies{};
  /// Which of the numbers of a row's position turns each pair; empty: the first turns all.
  std::vector<uint8_t> axes{};
};

/// What mixes the positions of a sequence.
enum class Mixer : uint8_t { kAttention };

/// What RMSNorm is applied to of Q and K, between their product and RoPE.
enum class QkNorm : uint8_t {
  kNone,
  kHead,  ///< each head for itself, all by the same head_dim weights
};

/// Attention with grouped queries: softmax(scale * q . k) v over the visible positions.
struct AttentionSpec {
  uint32_t n_head = 0;
  uint32_t n_head_kv = 0;  ///< divides n_head
  uint32_t k_dim = 0;      ///< elements of a head of Q and K; even
  uint32_t v_dim = 0;      ///< elements of a head of V
  QkNorm qk_norm = QkNorm::kNone;
  std::optional<size_t> rope;  ///< among HParams::ropes; none: heads are not turned
  double scale = 0;            ///< of the scores
  double score_cap = 0;        ///< c: a score s becomes c * tanh(s / c); 0: it stays
  bool sinks = false;          ///< one more logit a head in the softmax, which has no value
  uint32_t window = 0;         ///< a key is seen while query - key < window; 0: all up to the query

  uint32_t q_width() const { return n_head * k_dim; }
  uint32_t k_width() const { return n_head_kv * k_dim; }
  uint32_t v_width() const { return n_head_kv * v_dim; }
  uint32_t out_width() const { return n_head * v_dim; }
  uint32_t group() const { return n_head / n_head_kv; }  ///< query heads per KV head
};

enum class FeedForwardKind : uint8_t {
  kGated,    ///< down(activation(gate(x)) * up(x))
  kPlain,    ///< down(activation(up(x)))
  kExperts,  ///< some of many gated ones, chosen by a router
};

enum class Activation : uint8_t { kSilu, kGelu };

struct FeedForwardSpec {
  FeedForwardKind kind = FeedForwardKind::kGated;
  Activation activation = Activation::kSilu;
  uint32_t n_ff = 0;  ///< width between; of one expert
};

/// Where a block of a layer has an RMSNorm.
struct BlockNorms {
  bool before = true;  ///< of what the block reads
  bool after = false;  ///< of what it gives, before that is added to the residual
};

/// One layer: x += residual_scale * after(mixer(before(x))), then the same with the feed-forward.
struct LayerSpec {
  Mixer mixer = Mixer::kAttention;
  AttentionSpec attention;
  BlockNorms attention_norms;
  FeedForwardSpec ffn;
  BlockNorms ffn_norms;
  double residual_scale = 1;
};

}  // namespace quern
