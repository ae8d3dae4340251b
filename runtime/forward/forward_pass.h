// What an engine runs a model by: rows of a batch in, logits out. Knows sequences and pages,
// nothing of requests.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>

#include "runtime/forward/kv_pool.h"
#include "runtime/forward/sequence.h"
#include "runtime/text/token.h"

namespace quern {

class StepTrace;

/// What RoPE turns a row by. Text has one number, its place in the sequence; images have several,
/// which take turns over the pairs (RopeTable::axes).
using RopePosition = std::array<uint32_t, 4>;

/// Consecutive new rows of one sequence in a batch: a prompt chunk, or the one token of a decode
/// step.
struct BatchPart {
  Sequence* sequence;
  std::span<const Token> tokens;  ///< of each row
  size_t n_logits;                ///< logits are wanted for the last this many rows
  size_t n_hidden = 0;  ///< or, with no logits, the hidden states that logits are computed from
  /// Where rows start from: n_embd floats in the place of the token's embedding, or null for the
  /// token. Empty: all are tokens.
  std::span<const float* const> vectors{};
  /// Of each row; empty: the place in the sequence, in all numbers.
  std::span<const RopePosition> positions{};
};

/// A model on a device, with the KV cache there. One thread at a time calls it.
class ForwardPass {
 public:
  virtual ~ForwardPass() = default;

  virtual KvPool& pool() = 0;
  /// Most rows of one batch, all parts together.
  virtual size_t max_rows() const = 0;

  /// Runs all parts in one step and advances their sequences; each has reserved its pages and
  /// occurs once. Returns the logits rows wanted, [rows][n_vocab], in order of parts; valid until
  /// the next call. Parts that want hidden states stand after those that want logits.
  virtual std::span<const float> Forward(std::span<const BatchPart> parts) = 0;

  /// The hidden states that the last call was asked for, after the final norm: [rows][n_embd], in
  /// order of parts.
  virtual std::span<const float> hidden() const = 0;

  /// Runs body(i) for each i of [0, n) between two steps, by as many threads as there are. The
  /// first exception of a body is thrown when all have ended.
  virtual void ForEach(size_t n, const std::function<void(size_t)>& body) = 0;

  /// From now on every step is recorded in `trace`, which was made for as many threads as there
  /// are; null ends that.
  virtual void SetTrace(StepTrace* trace) = 0;
};

}  // namespace quern
