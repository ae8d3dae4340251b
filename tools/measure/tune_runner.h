// Measures a model with several settings in turns, for `quern tune`.
#pragma once

#include <cstddef>
#include <memory>
#include <vector>

#include "gguf/base/result.h"
#include "kernels/attention.h"
#include "runtime/model/model.h"
#include "tools/measure/bench_runner.h"
#include "tools/measure/tune_choice.h"
#include "tools/measure/tune_plan.h"

namespace quern {

struct TuneSettings {
  TuneTask task;
  bool may_skip_threads = true;  ///< whether counts are left out that a first round shows as slow
  size_t n_prompt = 512;         ///< tokens of the request that a number of threads is chosen for
  size_t n_answer = 128;         ///< and of its answer
  KvTypes kv_types;
};

/// One measured row: a prompt is one chunk, of as many tokens as the batch size would be.
struct TuneRow {
  BenchCase test;
  int n_threads;
  std::vector<double> speeds;  ///< tokens per second of every round, of all sequences together

  double Median() const;
  double Noise() const;  ///< median deviation, as a share of the median
};

struct ThreadRows {
  int n_threads;
  TuneRow prompt;
  TuneRow answer;

  /// Times of the request that settings are chosen for.
  TuneSeries Requests(size_t n_prompt, size_t n_answer) const;
};

struct TuneResult {
  std::vector<ThreadRows> by_threads;  ///< the most first
  std::vector<ThreadRows> slow;        ///< looked at once; fewer threads were not measured
  std::vector<TuneRow> by_batch_size;  ///< with the threads chosen
  std::vector<TuneRow> by_n_parallel;  ///< with the threads chosen
  std::vector<size_t> skipped_sizes;   ///< for which there was no time
  std::vector<TuneSeries> requests;    ///< of by_threads
  std::vector<TuneSeries> prompts;     ///< of by_batch_size: seconds for a token
  TuneChoice threads;                  ///< among `requests`
  TuneChoice batch_size;               ///< among `prompts`
  double seconds = 0;                  ///< that it took

  size_t best_threads() const { return requests[threads.chosen].setting; }
  size_t best_batch_size() const { return prompts[batch_size.chosen].setting; }
};

/// On a terminal says first how long it will take, and shows how far it is. Errors: kOutOfMemory.
Result<TuneResult> Tune(const std::shared_ptr<const Model>& model, const TuneSettings& settings);

}  // namespace quern
