// `quern bench`: tokens per second of prompts and of answers, in a table as llama-bench prints it.
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <memory>
#include <random>
#include <span>
#include <string>
#include <vector>

#include "runtime/executor.h"
#include "runtime/kv_pool.h"
#include "runtime/model.h"
#include "runtime/sequence.h"
#include "runtime/thread_team.h"
#include "tools/bench_report.h"
#include "tools/commands.h"
#include "tools/load_model.h"
#include "tools/model_argument.h"
#include "tools/shared_options.h"

namespace quern {
namespace {

using Clock = std::chrono::steady_clock;

struct BenchOptions {
  ModelArgument model;
  std::vector<size_t> n_prompt = {512};
  std::vector<size_t> n_gen = {128};
  std::vector<size_t> depths = {0};
  std::vector<int> threads;
  size_t batch_size = 512;
  int repetitions = 5;
  std::string format = "md";
};

/// What one table row measures.
struct Case {
  size_t n_tokens;
  bool is_prompt;  ///< all tokens at once, in chunks, or one after the other
  size_t depth;    ///< tokens that the sequence has before
};

std::vector<Case> CasesOf(const BenchOptions& options) {
  std::vector<Case> cases;
  for (const size_t depth : options.depths) {
    for (const size_t n : options.n_prompt) {
      if (n > 0) cases.push_back({n, true, depth});
    }
    for (const size_t n : options.n_gen) {
      if (n > 0) cases.push_back({n, false, depth});
    }
  }
  return cases;
}

double SecondsSince(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

/// Bytes per second at which the team reads `bytes` and does nothing with them, best of three: what
/// decode, which reads nearly all weights for each token, cannot exceed.
double ReadBandwidth(ThreadTeam& team, std::span<const std::byte> bytes) {
  constexpr size_t kLanes = 8;
  struct Line {
    uint64_t lanes[kLanes];
  };
  const size_t n_lines = bytes.size() / sizeof(Line);
  std::vector<uint64_t> sums(static_cast<size_t>(team.n_threads()));
  double best = 0;
  for (int pass = 0; pass < 3; ++pass) {
    const Clock::time_point start = Clock::now();
    team.Run([&](TeamMember& member) {
      const auto [begin, end] = member.Share(n_lines);
      Line total = {};
      for (size_t i = begin; i < end; ++i) {
        Line line;
        std::memcpy(&line, bytes.data() + i * sizeof(Line), sizeof(Line));
        for (size_t lane = 0; lane < kLanes; ++lane) total.lanes[lane] += line.lanes[lane];
      }
      // Stored, so that the reads cannot be left out.
      for (const uint64_t lane : total.lanes) sums[static_cast<size_t>(member.index())] += lane;
    });
    best = std::max(best, static_cast<double>(n_lines * sizeof(Line)) / SecondsSince(start));
  }
  return best;
}

/// Runs cases with one team.
class Bench {
 public:
  static Result<Bench> Create(std::shared_ptr<const Model> model, const BenchOptions& options,
                              int n_threads, size_t n_ctx) {
    Result<KvPool> pool = KvPool::Create(model->hparams(), KvType::kF16, PagesFor(n_ctx));
    if (!pool) return Propagate(pool);
    return Bench(std::move(model), options.batch_size, n_threads, std::move(*pool));
  }

  ThreadTeam& team() { return *team_; }

  /// Tokens per second of each repetition, after one that does not count.
  std::vector<double> Measure(const Case& test, int repetitions) {
    Sequence sequence(pool_.get());
    // The pool was made for the largest case.
    static_cast<void>(sequence.Reserve(test.depth));
    Run(sequence, test.depth, executor_->max_rows());
    std::vector<double> speeds;
    for (int i = 0; i <= repetitions; ++i) {
      sequence.Truncate(test.depth);
      static_cast<void>(sequence.Reserve(test.n_tokens));
      const Clock::time_point start = Clock::now();
      Run(sequence, test.n_tokens, test.is_prompt ? executor_->max_rows() : 1);
      if (i > 0) speeds.push_back(static_cast<double>(test.n_tokens) / SecondsSince(start));
    }
    return speeds;
  }

 private:
  Bench(std::shared_ptr<const Model> model, size_t batch_size, int n_threads, KvPool pool)
      : n_vocab_(model->hparams().n_vocab),
        pool_(std::make_unique<KvPool>(std::move(pool))),
        team_(std::make_unique<ThreadTeam>(n_threads)),
        executor_(
            std::make_unique<Executor>(std::move(model), pool_.get(), team_.get(), batch_size)) {}

  /// Appends `n_tokens` random tokens, `chunk` at a time; logits for the last of each chunk that a
  /// caller would sample.
  void Run(Sequence& sequence, size_t n_tokens, size_t chunk) {
    for (size_t done = 0; done < n_tokens; done += chunk) {
      std::vector<Token> tokens(std::min(chunk, n_tokens - done));
      for (Token& token : tokens) token = static_cast<Token>(random_() % n_vocab_);
      const bool is_last = chunk == 1 || done + tokens.size() == n_tokens;
      const BatchPart part{&sequence, tokens, is_last ? size_t{1} : size_t{0}};
      executor_->Forward({&part, 1});
    }
  }

  std::mt19937_64 random_;
  size_t n_vocab_;
  std::unique_ptr<KvPool> pool_;
  std::unique_ptr<ThreadTeam> team_;
  std::unique_ptr<Executor> executor_;
};

Result<int> RunBench(const BenchOptions& options) {
  const std::vector<Case> cases = CasesOf(options);
  if (cases.empty())
    return Fail(ErrorCode::kInvalidArgument, "nothing to measure: -p and -n are 0");
  const Clock::time_point start = Clock::now();
  Result<GgufFile> file = options.model.Open();
  if (!file) return Propagate(file);
  Result<std::shared_ptr<const Model>> model = LoadModel(*file);
  if (!model) return Propagate(model);

  size_t n_ctx = 0;
  for (const Case& test : cases) n_ctx = std::max(n_ctx, test.depth + test.n_tokens);
  BenchReport report(options.format, *file, **model, SecondsSince(start));
  std::vector<int> threads = options.threads;
  if (threads.empty()) threads = {AvailableThreads()};
  for (const int n_threads : threads) {
    Result<Bench> bench = Bench::Create(*model, options, n_threads, n_ctx);
    if (!bench) return Propagate(bench);
    report.SetThreads(n_threads, ReadBandwidth(bench->team(), (*model)->weights()));
    for (const Case& test : cases) {
      const char* name = test.is_prompt ? "pp" : "tg";
      std::string label = fmt::format("{}{}", name, test.n_tokens);
      if (test.depth > 0) label += fmt::format(" @ d{}", test.depth);
      report.Add(label, !test.is_prompt, bench->Measure(test, options.repetitions));
    }
  }
  report.Finish();
  return 0;
}

}  // namespace

void AddBenchCommand(Commands& commands) {
  auto options = std::make_shared<BenchOptions>();
  CLI::App* command = commands.Add("bench", "Measure the speed of a model on this machine",
                                   [options] { return RunBench(*options); });
  options->model.AddTo(command);
  const auto add_list = [command](const char* names, auto& values, const char* description) {
    return command->add_option(names, values, description)->delimiter(',');
  };
  const CLI::Range is_count(0, 1 << 24);
  add_list("-p,--n-prompt", options->n_prompt,
           "Tokens of a prompt, as 512 or 64,512 (default: 512); 0: no such row")
      ->check(is_count);
  add_list("-n,--n-gen", options->n_gen,
           "Tokens to generate, one number or several (default: 128); 0: no such row")
      ->check(is_count);
  add_list("-d,--n-depth", options->depths,
           "Tokens already in the context, one number or several (default: 0)")
      ->check(is_count);
  add_list("-t,--threads", options->threads,
           "Threads, one number or several (default: all CPUs allowed)")
      ->check(CLI::Range(1, kMostThreads));
  AddBatchSizeOption(command, &options->batch_size);
  command
      ->add_option("-r,--repetitions", options->repetitions,
                   "Times to measure each row, after one that does not count (default: 5)")
      ->check(CLI::Range(1, 10000));
  command->add_option("-o,--output", options->format, "Form of the table: md (default), json, csv")
      ->check(CLI::IsMember({"md", "json", "csv"}));
}

}  // namespace quern
