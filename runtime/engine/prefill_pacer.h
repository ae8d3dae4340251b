// How many prompt tokens a step may take, so that running answers are not held up by new prompts.
#pragma once

#include <cstddef>

namespace quern {

/// A step of few rows takes as long as reading the weights does, whatever it computes; one of many
/// rows takes its time for every row. So up to a number of rows, the free ones, steps cost about
/// the same, and then they cost in proportion. That number is learned from the steps; it belongs to
/// machine and model, and stays when the machine as a whole gets slower or faster.
///
/// Two limits hold: a step with prompt tokens beside running answers takes about `max_stretch`
/// times as long as one without; and no step takes longer than about `max_seconds`, which is how
/// late a cancelled or a new request may be noticed.
class PrefillPacer {
 public:
  /// 0 stands for no limit.
  PrefillPacer(double max_stretch, double max_seconds)
      : max_stretch_(max_stretch), max_seconds_(max_seconds) {}

  /// Most prompt tokens of the next step beside `n_decoding` answers, at most `most`. 0, which
  /// needs running answers, asks for a step without prompts, to see how long that takes.
  size_t Chunk(size_t n_decoding, size_t most) const;

  /// A step of `n_decoding` answers and `n_prompt` prompt tokens took `seconds`.
  void Observe(size_t n_decoding, size_t n_prompt, double seconds);

 private:
  double FreeRows() const;

  double max_stretch_;
  double max_seconds_;
  double base_seconds_ = 0;     ///< of a step of few rows; 0: not known
  double seconds_per_row_ = 0;  ///< of a step of many rows; 0: not known
  size_t n_since_quiet_ = 0;    ///< steps with prompts since the last without
};

}  // namespace quern
