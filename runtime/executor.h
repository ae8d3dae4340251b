// The forward pass: rows of a batch in, logits out. Knows sequences and pages, nothing of requests.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <vector>

#include "gguf/result.h"
#include "runtime/kv_pool.h"
#include "runtime/model.h"
#include "runtime/thread_team.h"

namespace quern {

/// A sequence as the forward pass sees it: its pages and how many of their positions are filled.
class Sequence {
 public:
  explicit Sequence(KvPool* pool) : pool_(pool) {}
  Sequence(Sequence&&) noexcept = default;
  Sequence& operator=(Sequence&&) = delete;
  ~Sequence();

  size_t n_past() const { return n_past_; }
  /// Takes pages for `n_tokens` more. Errors: kOutOfMemory, and nothing is taken, when the pool has too few.
  Status Reserve(size_t n_tokens);
  /// Forgets all positions from `n_past` on and gives whole pages back.
  void Truncate(size_t n_past);

 private:
  friend class Executor;
  KvPool* pool_;
  std::vector<KvPool::PageId> pages_;
  std::vector<std::byte*> page_memory_;
  size_t n_past_ = 0;
};

/// Consecutive new tokens of one sequence in a batch: a prompt chunk, or the one token of a decode step.
struct BatchPart {
  Sequence* sequence;
  std::span<const Token> tokens;
  size_t n_logits;  ///< logits are wanted for the last this many tokens
};

class Executor {
 public:
  /// `max_rows`: most tokens of one batch, all parts together.
  Executor(std::shared_ptr<const Model> model, KvPool* pool, ThreadTeam* team, size_t max_rows);
  ~Executor();

  /// Runs all parts in one step and advances their sequences; each has reserved its pages and occurs once.
  /// Returns the logits rows wanted, [rows][n_vocab], in order of parts; valid until the next call.
  std::span<const float> Forward(std::span<const BatchPart> parts);

  size_t max_rows() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace quern
