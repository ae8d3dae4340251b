// What one step runs: its rows, what is wanted of them, and the tiles in which they attend.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "runtime/forward/forward_pass.h"

namespace quern {

/// Tokens of one attention task: with 4 heads a group that makes 64 queries to share each K and V
/// tile.
inline constexpr size_t kTileTokens = 16;

/// A row of the batch.
struct StepRow {
  Token token;
  const float* vector;  ///< what it starts from in the token's place; null: the token
  size_t slot;          ///< its place in the sequence
  RopePosition position;
};

/// Consecutive tokens of one part that attend together.
struct AttentionTile {
  const Sequence* sequence;
  size_t row;  ///< of its first token in the batch
  size_t n_tokens;
  size_t slot;  ///< of its first token
};

class StepPlan {
 public:
  static constexpr size_t kUnwanted = static_cast<size_t>(-1);

  void Build(std::span<const BatchPart> parts);

  size_t n_rows() const { return rows_.size(); }
  std::span<const StepRow> rows() const { return rows_; }
  std::span<const AttentionTile> tiles() const { return tiles_; }
  /// Rows whose logits are wanted, then those of hidden states.
  std::span<const size_t> wanted() const { return wanted_; }
  /// How many wanted ones are of the first kind.
  size_t n_logits() const { return n_logits_; }
  /// A row's place among the wanted ones, or kUnwanted.
  size_t PlaceOf(size_t row) const { return places_[row]; }
  /// Splits of the longest sequence.
  size_t most_splits() const { return most_splits_; }

 private:
  std::vector<StepRow> rows_;
  std::vector<AttentionTile> tiles_;
  std::vector<size_t> wanted_;
  std::vector<size_t> places_;
  size_t n_logits_ = 0;
  size_t most_splits_ = 1;
};

}  // namespace quern
