#include "tools/measure/tune_runner.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <optional>
#include <string>
#include <utility>

#include "gguf/base/format_number.h"
#include "tools/measure/statistics.h"
#include "tools/terminal/progress_bar.h"

namespace quern {
namespace {

using Clock = std::chrono::steady_clock;

/// A first look, which also brings caches and memory into their usual state.
constexpr BenchCase kFirstPrompt = {32, true, 0, 1};
constexpr BenchCase kFirstAnswer = {4, false, 0, 1};

/// Counts slower than this share of the fastest, at prompts and at answers, are measured once.
constexpr double kSlow = 0.8;

/// Tokens per second of each round as seconds for `n_tokens`.
std::vector<double> SecondsFor(size_t n_tokens, const std::vector<double>& speeds) {
  std::vector<double> seconds;
  seconds.reserve(speeds.size());
  for (const double speed : speeds) seconds.push_back(static_cast<double>(n_tokens) / speed);
  return seconds;
}

/// One thing to measure each round.
struct Turn {
  BenchRunner* runner;
  TuneRow* row;
};

class Tuner {
 public:
  Tuner(std::shared_ptr<const Model> model, const TuneSettings& settings)
      : model_(std::move(model)), settings_(settings), task_(settings.task) {}

  Result<TuneResult> Run();

 private:
  double Elapsed() const { return std::chrono::duration<double>(Clock::now() - start_).count(); }
  /// One runner for a number of threads, whose steps take the whole of a case.
  Result<BenchRunner> RunnerFor(int n_threads, const BenchCase& test) const;
  Status Plan();
  Status CompareThreads();
  Status CompareSizes();
  double Measure(BenchRunner& runner, const TuneRow& row);
  bool IsSlow(const ThreadRows& rows) const;
  /// Goes on with rounds, forth and back in turns, until there are enough or `end` would be passed.
  void MeasureRounds(std::vector<Turn> turns, int n_done, double end);

  std::shared_ptr<const Model> model_;
  TuneSettings settings_;
  TuneTask task_;
  TunePlan plan_;
  TuneResult result_;
  Clock::time_point start_ = Clock::now();
  double planned_ = 0;  ///< seconds when the first look is done
  ProgressBar bar_;
};

Result<TuneResult> Tuner::Run() {
  if (Status status = Plan(); !status) return Propagate(status);
  if (Status status = CompareThreads(); !status) return Propagate(status);
  if (Status status = CompareSizes(); !status) return Propagate(status);
  result_.seconds = Elapsed();
  return std::move(result_);
}

Result<BenchRunner> Tuner::RunnerFor(int n_threads, const BenchCase& test) const {
  return BenchRunner::Create(model_, test.is_prompt ? test.n_tokens : test.n_seqs, n_threads,
                             test.n_tokens, test.n_seqs, settings_.kv_types);
}

Status Tuner::Plan() {
  Result<BenchRunner> runner = RunnerFor(task_.threads.front(), kFirstPrompt);
  if (!runner) return Propagate(runner);
  TunePace pace{};
  pace.prompt = runner->Measure(kFirstPrompt);
  pace.answer = runner->Measure(kFirstAnswer);
  plan_ = PlanTune(task_, pace);
  result_.skipped_sizes.assign(
      task_.batch_sizes.begin() + static_cast<std::ptrdiff_t>(plan_.batch_sizes.size()),
      task_.batch_sizes.end());
  planned_ = Elapsed();
  if (bar_.enabled()) {
    fmt::print(stderr, "measuring {} and {}: about {:.0f} s\n",
               Counted(task_.threads.size(), "thread count"),
               Counted(plan_.batch_sizes.size(), "batch size"), plan_.seconds);
  }
  return {};
}

double Tuner::Measure(BenchRunner& runner, const TuneRow& row) {
  bar_.Show((Elapsed() - planned_) / plan_.seconds,
            fmt::format("{} with {}", row.test.Name(),
                        Counted(static_cast<uint64_t>(row.n_threads), "thread")));
  return runner.MeasureOnce(row.test);
}

bool Tuner::IsSlow(const ThreadRows& rows) const {
  const auto is_slow = [&](TuneRow ThreadRows::*kind) {
    double best = 0;
    for (const ThreadRows& other : result_.by_threads) {
      best = std::max(best, (other.*kind).speeds.front());
    }
    return *std::max_element((rows.*kind).speeds.begin(), (rows.*kind).speeds.end()) < kSlow * best;
  };
  return is_slow(&ThreadRows::prompt) && is_slow(&ThreadRows::answer);
}

Status Tuner::CompareThreads() {
  const BenchCase prompt = {plan_.n_prompt, true, 0, 1};
  const BenchCase answer = {plan_.n_answer, false, 0, 1};
  std::vector<BenchRunner> runners;
  for (const int n_threads : task_.threads) {
    Result<BenchRunner> runner = RunnerFor(n_threads, prompt);
    if (!runner) return Propagate(runner);
    ThreadRows rows{n_threads, {prompt, n_threads, {}}, {answer, n_threads, {}}};
    // Once more before it is called slow: something else may have had the machine for a moment.
    bool is_slow = false;
    for (int i = 0; i < (is_slow ? 2 : 1); ++i) {
      for (TuneRow* row : {&rows.prompt, &rows.answer}) {
        row->speeds.push_back(Measure(*runner, *row));
      }
      is_slow = settings_.may_skip_threads && IsSlow(rows);
    }
    if (is_slow) {
      result_.slow.push_back(std::move(rows));
      break;
    }
    for (TuneRow* row : {&rows.prompt, &rows.answer}) row->speeds = {row->speeds.back()};
    result_.by_threads.push_back(std::move(rows));
    runners.push_back(std::move(*runner));
  }

  std::vector<Turn> turns;
  for (size_t i = 0; i < runners.size(); ++i) {
    turns.push_back({&runners[i], &result_.by_threads[i].prompt});
    turns.push_back({&runners[i], &result_.by_threads[i].answer});
  }
  const double share = plan_.thread_round / (plan_.thread_round + plan_.batch_round);
  MeasureRounds(turns, 1, planned_ + share * plan_.seconds);
  for (const ThreadRows& rows : result_.by_threads) {
    result_.requests.push_back(rows.Requests(settings_.n_prompt, settings_.n_answer));
  }
  result_.threads = ChooseSetting(result_.requests);
  return {};
}

Status Tuner::CompareSizes() {
  const auto n_threads = static_cast<int>(result_.best_threads());
  const BenchCase largest = {plan_.batch_sizes.back(), true, 0, 1};
  Result<BenchRunner> prompts = RunnerFor(n_threads, largest);
  if (!prompts) return Propagate(prompts);
  for (const size_t size : plan_.batch_sizes) {
    result_.by_batch_size.push_back({{size, true, 0, 1}, n_threads, {}});
  }
  std::vector<Turn> turns;
  for (TuneRow& row : result_.by_batch_size) turns.push_back({&*prompts, &row});

  std::optional<BenchRunner> answers;
  if (!task_.n_parallel.empty()) {
    const BenchCase most = {plan_.n_answer, false, 0, task_.n_parallel.back()};
    Result<BenchRunner> runner = RunnerFor(n_threads, most);
    if (!runner) return Propagate(runner);
    answers.emplace(std::move(*runner));
    for (const size_t n : task_.n_parallel) {
      result_.by_n_parallel.push_back({{plan_.n_answer, false, 0, n}, n_threads, {}});
    }
    for (TuneRow& row : result_.by_n_parallel) turns.push_back({&*answers, &row});
  }
  MeasureRounds(turns, 0, planned_ + plan_.seconds);
  for (const TuneRow& row : result_.by_batch_size) {
    result_.prompts.push_back({row.test.n_tokens, SecondsFor(1, row.speeds)});
  }
  result_.batch_size = ChooseSetting(result_.prompts);
  return {};
}

void Tuner::MeasureRounds(std::vector<Turn> turns, int n_done, double end) {
  const int least = std::min(kLeastTuneRounds, task_.n_rounds);
  double longest = 0;
  while (n_done < least || (n_done < task_.n_rounds && Elapsed() + longest <= end)) {
    const double before = Elapsed();
    if (n_done > 0) std::reverse(turns.begin(), turns.end());
    for (const Turn& turn : turns) turn.row->speeds.push_back(Measure(*turn.runner, *turn.row));
    longest = std::max(longest, Elapsed() - before);
    ++n_done;
  }
}

}  // namespace

double TuneRow::Median() const { return MedianOf(speeds); }
double TuneRow::Noise() const { return MedianDeviation(speeds) / Median(); }

TuneSeries ThreadRows::Requests(size_t n_prompt, size_t n_answer) const {
  TuneSeries series{static_cast<size_t>(n_threads), SecondsFor(n_prompt, prompt.speeds)};
  const std::vector<double> answers = SecondsFor(n_answer, answer.speeds);
  for (size_t i = 0; i < answers.size(); ++i) series.seconds[i] += answers[i];
  return series;
}

Result<TuneResult> Tune(const std::shared_ptr<const Model>& model, const TuneSettings& settings) {
  return Tuner(model, settings).Run();
}

}  // namespace quern
