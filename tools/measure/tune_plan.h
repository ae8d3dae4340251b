// How `quern tune` spends its time: which settings it measures, and with how much work.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

namespace quern {

/// Numbers of threads worth trying, the largest first: all CPUs, all cores, three quarters of them,
/// and halves down to 1.
std::vector<int> ThreadCounts(int n_cores, int n_cpus);

/// Tokens per second with the most threads, as a first look has them.
struct TunePace {
  double prompt;
  double answer;
};

/// Fewer rounds make no median.
inline constexpr int kLeastTuneRounds = 3;

/// What there is to measure: the settings, and the time for it.
struct TuneTask {
  std::vector<int> threads;         ///< the largest first
  std::vector<size_t> batch_sizes;  ///< rising
  bool may_drop_sizes;              ///< whether the largest of them may be left out
  std::vector<size_t> n_parallel;   ///< answers that run together
  double seconds;
  int n_rounds;  ///< at most
};

struct TunePlan {
  size_t n_prompt = 256;  ///< tokens of the prompt that compares numbers of threads
  size_t n_answer = 32;   ///< tokens of every answer
  std::vector<size_t> batch_sizes;
  double thread_round = 0;  ///< seconds of a round over numbers of threads, about
  double batch_round = 0;   ///< seconds of a round over batch sizes and answers together
  double seconds = 0;       ///< of all rounds together
};

/// As much work as the least number of rounds has time for. Counts of less than half the most
/// threads are not reckoned with: they are mostly too slow to be measured more than once.
TunePlan PlanTune(const TuneTask& task, const TunePace& pace);

}  // namespace quern
