// Runs the cases of `quern bench` with one team of threads, and measures what the machine allows.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <random>
#include <span>
#include <string>
#include <vector>

#include "gguf/base/result.h"
#include "runtime/forward/executor.h"
#include "runtime/forward/sequence.h"
#include "runtime/forward/step_trace.h"
#include "runtime/machine/thread_team.h"
#include "runtime/model/model.h"

namespace quern {

/// What one row measures: a prompt, run in chunks, or sequences that generate together, each token
/// sampled from the logits of the one before.
struct BenchCase {
  size_t n_tokens;  ///< of each sequence
  bool is_prompt;
  size_t depth;   ///< tokens that each sequence has before
  size_t n_seqs;  ///< 1 for a prompt

  bool operator==(const BenchCase&) const = default;

  /// "pp512", "tg128 @ d4096", "tg128 x 4".
  std::string Name() const;
};

/// What a team can do at most while nothing else is done.
struct MachineLimits {
  double read_bytes_per_second;  ///< of the weights
  double ops_per_second;         ///< multiplications and additions of bytes
};

class BenchRunner {
 public:
  /// Context for `n_ctx` tokens of `n_seqs` sequences each. Errors: kOutOfMemory.
  static Result<BenchRunner> Create(std::shared_ptr<const Model> model, size_t batch_size,
                                    int n_threads, size_t n_ctx, size_t n_seqs,
                                    KvTypes kv_types = {});

  /// Tokens per second, of all sequences together. Where the case is not the one of the call
  /// before, one repetition that does not count comes first.
  double Measure(const BenchCase& test);
  /// The same without that one.
  double MeasureOnce(const BenchCase& test);
  /// What the threads did in one more repetition.
  StepTrace Trace(const BenchCase& test);

  MachineLimits MeasureLimits();
  /// Tokens per second that `limits` allow: steps that read their weights and cache from memory
  /// once, and multiply at full rate meanwhile.
  double Bound(const BenchCase& test, const MachineLimits& limits) const;
  size_t StepsOf(const BenchCase& test) const;

 private:
  BenchRunner(std::shared_ptr<const Model> model, std::unique_ptr<Executor> executor);

  /// Makes `sequences_` those of this case, each at its depth. Whether they were not before.
  bool Start(const BenchCase& test);
  /// Seconds of one repetition; the sequences are as Start left them, and will be again.
  double Repeat(const BenchCase& test);
  void RunPrompt(Sequence& sequence, size_t n_tokens);
  void Generate(std::span<Sequence> sequences, size_t n_tokens);
  Token RandomToken();
  /// What all threads together do in a second, at best of some passes: `work` tells what each of
  /// them did. `prepare` comes before each pass.
  double BestRate(const std::function<void()>& prepare, const std::function<double()>& work);

  std::mt19937_64 random_;
  std::shared_ptr<const Model> model_;
  std::unique_ptr<Executor> executor_;
  BenchCase current_{};              ///< whose `sequences_` are
  std::vector<Sequence> sequences_;  ///< none at first
  StepTrace* trace_ = nullptr;
};

}  // namespace quern
