#include "runtime/engine/prefill_pacer.h"

#include <algorithm>

namespace quern {
namespace {

/// Tokens of a chunk before anything is known of their speed: some seconds on an 8B model.
constexpr double kFirstChunk = 64;

/// Free rows before they are known, and the most that are believed. A server's CPU has 4 to 8 with
/// 4-bit weights.
constexpr double kFirstFreeRows = 4;
constexpr double kMostFreeRows = 64;

/// How fast estimates follow what is seen.
constexpr double kNewShare = 0.3;

/// A step has many rows from this many times the free ones on.
constexpr double kMany = 1.5;

/// Steps with prompts after which one without is due: else a machine that has got slower or faster
/// since would change the number of free rows.
constexpr size_t kQuietEvery = 16;

void Follow(double seen, double* estimate) {
  *estimate = *estimate == 0 ? seen : *estimate + kNewShare * (seen - *estimate);
}

}  // namespace

double PrefillPacer::FreeRows() const {
  if (base_seconds_ == 0 || seconds_per_row_ == 0) return kFirstFreeRows;
  return std::clamp(base_seconds_ / seconds_per_row_, 1.0, kMostFreeRows);
}

size_t PrefillPacer::Chunk(size_t n_decoding, size_t most) const {
  const auto decoding = static_cast<double>(n_decoding);
  auto chunk = static_cast<double>(most);
  if (max_seconds_ > 0) {
    chunk = std::min(
        chunk, seconds_per_row_ == 0 ? kFirstChunk : max_seconds_ / seconds_per_row_ - decoding);
  }
  if (n_decoding > 0 && max_stretch_ > 0) {
    if (n_since_quiet_ >= kQuietEvery && decoding <= FreeRows()) return 0;
    chunk = std::min(chunk, max_stretch_ * std::max(FreeRows(), decoding) - decoding);
  }
  // Prompts always go on.
  return std::min(most, chunk > 1 ? static_cast<size_t>(chunk) : size_t{1});
}

void PrefillPacer::Observe(size_t n_decoding, size_t n_prompt, double seconds) {
  const auto n_rows = static_cast<double>(n_decoding + n_prompt);
  if (n_prompt == 0) {
    n_since_quiet_ = 0;
    if (n_rows <= FreeRows()) Follow(seconds, &base_seconds_);
  } else {
    ++n_since_quiet_;
    if (n_rows >= kMany * FreeRows()) Follow(seconds / n_rows, &seconds_per_row_);
  }
}

}  // namespace quern
