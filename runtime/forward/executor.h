// The forward pass: rows of a batch in, logits out. Knows sequences and pages, nothing of requests.
#pragma once

#include <cstddef>
#include <memory>
#include <span>

#include "runtime/forward/kv_pool.h"
#include "runtime/forward/sequence.h"
#include "runtime/forward/step_trace.h"
#include "runtime/machine/thread_team.h"
#include "runtime/model/model.h"

namespace quern {

/// Consecutive new tokens of one sequence in a batch: a prompt chunk, or the one token of a decode
/// step.
struct BatchPart {
  Sequence* sequence;
  std::span<const Token> tokens;
  size_t n_logits;      ///< logits are wanted for the last this many tokens
  size_t n_hidden = 0;  ///< or, with no logits, the hidden states that logits are computed from
};

class Executor {
 public:
  /// `max_rows`: most tokens of one batch, all parts together. `pool` and `team` outlive the
  /// executor.
  Executor(std::shared_ptr<const Model> model, KvPool* pool, ThreadTeam* team, size_t max_rows);
  ~Executor();

  /// Runs all parts in one step and advances their sequences; each has reserved its pages and
  /// occurs once. Returns the logits rows wanted, [rows][n_vocab], in order of parts; valid until
  /// the next call. Parts that want hidden states stand after those that want logits.
  std::span<const float> Forward(std::span<const BatchPart> parts);

  /// The hidden states that the last call was asked for, after the final norm: [rows][n_embd], in
  /// order of parts.
  std::span<const float> hidden() const;

  /// From now on every step is recorded in `trace`, which was made for the team's threads; null
  /// ends that.
  void SetTrace(StepTrace* trace);

  size_t max_rows() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace quern
