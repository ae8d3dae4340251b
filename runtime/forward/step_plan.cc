#include "runtime/forward/step_plan.h"

#include <algorithm>

#include "gguf/base/check.h"

namespace quern {
namespace {

/// A place in a sequence as text has it: the same in all numbers.
RopePosition PositionOf(size_t slot) {
  RopePosition position;
  position.fill(static_cast<uint32_t>(slot));
  return position;
}

}  // namespace

void StepPlan::Build(std::span<const BatchPart> parts) {
  rows_.clear();
  tiles_.clear();
  wanted_.clear();
  places_.clear();
  n_logits_ = 0;
  most_splits_ = 1;
  for (const BatchPart& part : parts) {
    const size_t first_row = rows_.size();
    const size_t n_past = part.sequence->n_past();
    const size_t n = part.tokens.size();
    QUERN_DCHECK(part.sequence->n_pages() * kPageTokens >= n_past + n);
    QUERN_DCHECK(part.vectors.empty() || part.vectors.size() == n);
    QUERN_DCHECK(part.positions.empty() || part.positions.size() == n);
    for (size_t i = 0; i < n; ++i) {
      rows_.push_back(
          {.token = part.tokens[i],
           .vector = part.vectors.empty() ? nullptr : part.vectors[i],
           .slot = n_past + i,
           .position = part.positions.empty() ? PositionOf(n_past + i) : part.positions[i]});
      const bool is_wanted = i + part.n_logits + part.n_hidden >= n;
      places_.push_back(is_wanted ? wanted_.size() : kUnwanted);
      if (is_wanted) wanted_.push_back(first_row + i);
    }
    QUERN_DCHECK(part.n_logits == 0 ||
                 (part.n_hidden == 0 && n_logits_ == wanted_.size() - part.n_logits));
    n_logits_ += part.n_logits;
    for (size_t i = 0; i < n; i += kTileTokens) {
      tiles_.push_back({part.sequence, first_row + i, std::min(kTileTokens, n - i), n_past + i});
    }
    most_splits_ = std::max(most_splits_, SplitsAt(n_past + n - 1));
  }
}

}  // namespace quern
