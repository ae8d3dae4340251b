#include "tools/measure/tune_plan.h"

#include <algorithm>
#include <functional>

namespace quern {
namespace {

constexpr size_t kLeastPrompt = 32;
constexpr size_t kLeastSizes = 2;

void Estimate(const TuneTask& task, const TunePace& pace, TunePlan* plan) {
  const auto n_prompt = static_cast<double>(plan->n_prompt);
  const auto n_answer = static_cast<double>(plan->n_answer);
  plan->thread_round = 0;
  for (const int n_threads : task.threads) {
    const double slowdown = static_cast<double>(task.threads.front()) / n_threads;
    if (slowdown > 2) continue;
    plan->thread_round += slowdown * (n_prompt / pace.prompt + n_answer / pace.answer);
  }
  plan->batch_round = 0;
  for (const size_t size : plan->batch_sizes) {
    plan->batch_round += static_cast<double>(size) / pace.prompt;
  }
  for (const size_t n : task.n_parallel) {
    // A step reads the weights once, and computes for every row as for a prompt's.
    plan->batch_round += n_answer * (1 / pace.answer + static_cast<double>(n) / pace.prompt);
  }
}

}  // namespace

std::vector<int> ThreadCounts(int n_cores, int n_cpus) {
  n_cores = std::min(n_cores, n_cpus);
  std::vector<int> counts = {n_cpus, n_cores, n_cores * 3 / 4};
  for (int n = n_cores / 2; n > 0; n /= 2) counts.push_back(n);
  counts.push_back(1);
  std::sort(counts.begin(), counts.end(), std::greater<>());
  counts.erase(std::unique(counts.begin(), counts.end()), counts.end());
  std::erase(counts, 0);
  return counts;
}

TunePlan PlanTune(const TuneTask& task, const TunePace& pace) {
  const int least = std::min(kLeastTuneRounds, task.n_rounds);
  TunePlan plan;
  plan.batch_sizes = task.batch_sizes;
  Estimate(task, pace, &plan);
  const auto is_too_long = [&] {
    return least * (plan.thread_round + plan.batch_round) > task.seconds;
  };
  while (is_too_long()) {
    const bool shrinks = plan.n_prompt > kLeastPrompt;
    const bool drops = task.may_drop_sizes && plan.batch_sizes.size() > kLeastSizes;
    if (!shrinks && !drops) break;
    if (shrinks) {
      plan.n_prompt /= 2;
      plan.n_answer /= 2;
      Estimate(task, pace, &plan);
    }
    if (drops && is_too_long()) {
      plan.batch_sizes.pop_back();
      Estimate(task, pace, &plan);
    }
  }
  const double round = plan.thread_round + plan.batch_round;
  plan.seconds = std::max(least * round, std::min(task.n_rounds * round, task.seconds));
  return plan;
}

}  // namespace quern
