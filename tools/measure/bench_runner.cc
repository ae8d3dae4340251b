#include "tools/measure/bench_runner.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <numeric>
#include <utility>

#include "kernels/machine_limits.h"
#include "runtime/engine/sampler.h"
#include "runtime/machine/node_work.h"

namespace quern {
namespace {

using Clock = std::chrono::steady_clock;

double SecondsSince(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

}  // namespace

std::string BenchCase::Name() const {
  std::string name = fmt::format("{}{}", is_prompt ? "pp" : "tg", n_tokens);
  if (n_seqs > 1) name += fmt::format(" x {}", n_seqs);
  if (depth > 0) name += fmt::format(" @ d{}", depth);
  return name;
}

Result<BenchRunner> BenchRunner::Create(std::shared_ptr<const Model> model, size_t batch_size,
                                        int n_threads, size_t n_ctx, size_t n_seqs,
                                        KvTypes kv_types) {
  Result<std::unique_ptr<Executor>> executor =
      Executor::Create(model, {.kv_types = kv_types,
                               .n_pages = PagesFor(n_ctx) * n_seqs,
                               .n_threads = n_threads,
                               .max_rows = std::max(batch_size, n_seqs)});
  if (!executor) return Propagate(executor);
  return BenchRunner(std::move(model), *std::move(executor));
}

BenchRunner::BenchRunner(std::shared_ptr<const Model> model, std::unique_ptr<Executor> executor)
    : model_(std::move(model)), executor_(std::move(executor)) {}

double BenchRunner::Measure(const BenchCase& test) {
  if (Start(test)) Repeat(test);
  return MeasureOnce(test);
}

double BenchRunner::MeasureOnce(const BenchCase& test) {
  Start(test);
  return static_cast<double>(test.n_tokens * test.n_seqs) / Repeat(test);
}

StepTrace BenchRunner::Trace(const BenchCase& test) {
  Start(test);
  StepTrace trace(executor_->team().n_threads());
  trace_ = &trace;
  executor_->SetTrace(&trace);
  Repeat(test);
  executor_->SetTrace(nullptr);
  trace_ = nullptr;
  return trace;
}

bool BenchRunner::Start(const BenchCase& test) {
  if (!sequences_.empty() && test == current_) return false;
  current_ = test;
  sequences_.clear();
  for (size_t i = 0; i < test.n_seqs; ++i) {
    Sequence& sequence = sequences_.emplace_back(&executor_->pool());
    // The pool was made for the largest case.
    static_cast<void>(sequence.Reserve(test.depth));
    RunPrompt(sequence, test.depth);
  }
  return true;
}

double BenchRunner::Repeat(const BenchCase& test) {
  for (Sequence& sequence : sequences_) static_cast<void>(sequence.Reserve(test.n_tokens));
  const Clock::time_point start = Clock::now();
  if (test.is_prompt) {
    RunPrompt(sequences_.front(), test.n_tokens);
  } else {
    Generate(sequences_, test.n_tokens);
  }
  const double seconds = SecondsSince(start);
  for (Sequence& sequence : sequences_) {
    const size_t n_past = sequence.Truncate(test.depth);
    if (n_past == test.depth) continue;
    // Of what a window has given back, the sequence is to be made again.
    static_cast<void>(sequence.Reserve(test.depth - n_past));
    RunPrompt(sequence, test.depth - n_past);
  }
  return seconds;
}

void BenchRunner::RunPrompt(Sequence& sequence, size_t n_tokens) {
  for (size_t done = 0; done < n_tokens;) {
    std::vector<Token> tokens(std::min(executor_->max_rows(), n_tokens - done));
    for (Token& token : tokens) token = RandomToken();
    done += tokens.size();
    const BatchPart part{&sequence, tokens, done == n_tokens ? size_t{1} : size_t{0}};
    executor_->Forward({&part, 1});
  }
}

void BenchRunner::Generate(std::span<Sequence> sequences, size_t n_tokens) {
  const size_t n_vocab = model_->hparams().n_vocab;
  std::vector<Sampler> samplers(sequences.size(), Sampler(SamplingParams()));
  std::vector<Token> tokens(sequences.size());
  for (Token& token : tokens) token = RandomToken();
  for (size_t step = 0; step < n_tokens; ++step) {
    std::vector<BatchPart> parts;
    parts.reserve(sequences.size());
    for (size_t i = 0; i < sequences.size(); ++i) {
      parts.push_back({&sequences[i], {&tokens[i], 1}, 1});
    }
    const std::span<const float> logits = executor_->Forward(parts);
    if (trace_ != nullptr) trace_->Begin(0, StepOp::kSample, StepTrace::kNoLayer);
    const auto sample = [&](size_t i) {
      tokens[i] = samplers[i].Sample(logits.subspan(i * n_vocab, n_vocab)).token;
    };
    if (sequences.size() == 1) {
      sample(0);
    } else {
      executor_->ForEach(sequences.size(), sample);
    }
    if (trace_ != nullptr) trace_->End(0);
  }
}

Token BenchRunner::RandomToken() {
  return static_cast<Token>(random_() % model_->hparams().n_vocab);
}

MachineLimits BenchRunner::MeasureLimits() {
  constexpr size_t kCacheLine = 64;
  constexpr size_t kReadUnit = 1024;
  constexpr size_t kPieceUnits = 1024;               // 1 MiB
  constexpr size_t kLeastBytes = size_t{256} << 20;  // some 10 ms, here too
  constexpr size_t kRounds = 500000;                 // some 10 ms
  std::vector<std::span<const std::byte>> weights;   // whole units
  size_t n_bytes = 0;
  for (const WeightMatrix* matrix : model_->Matrices()) {
    const auto address = reinterpret_cast<uintptr_t>(matrix->data);
    const size_t skip = (kCacheLine - address % kCacheLine) % kCacheLine;
    const size_t size = (matrix->n_bytes() - skip) / kReadUnit * kReadUnit;
    weights.emplace_back(matrix->data + skip, size);
    n_bytes += size;
  }
  const size_t n_times = kLeastBytes / n_bytes + 1;
  std::atomic<uint64_t> results = 0;  // or nothing is done
  // Each node's memory by its own threads, as in a step.
  const size_t n_reads = n_times * weights.size();
  NodeWork pieces(&model_->nodes(), n_reads);
  const auto read = [&](size_t index) {
    const std::span<const std::byte> matrix = weights[index % weights.size()];
    const auto units_of = [&](size_t node) {
      return model_->nodes().Share(matrix.size() / kReadUnit, node, 1);
    };
    size_t n_read = 0;
    while (const auto piece = pieces.Take(index, units_of, [](size_t) { return kPieceUnits; })) {
      const size_t n_piece = (piece->end - piece->begin) * kReadUnit;
      results ^= ReadAll(matrix.data() + piece->begin * kReadUnit, n_piece);
      n_read += n_piece;
    }
    return n_read;
  };
  const double read_rate = BestRate([&] { pieces.Reset(); },
                                    [&] {
                                      size_t n_read = 0;
                                      for (size_t i = 0; i < n_reads; ++i) n_read += read(i);
                                      return static_cast<double>(n_read);
                                    });
  const double dot_rate = BestRate([] {},
                                   [&] {
                                     results ^= static_cast<uint64_t>(MultiplyBytes(kRounds));
                                     return 2.0 * static_cast<double>(kRounds * ProductsPerRound());
                                   });
  return {read_rate, dot_rate};
}

double BenchRunner::BestRate(const std::function<void()>& prepare,
                             const std::function<double()>& work) {
  constexpr int kPasses = 3;
  constexpr int kGathering = 1000;  // barriers, about a millisecond: workers wake up and join
  double best = 0;
  for (int pass = 0; pass < kPasses; ++pass) {
    prepare();
    std::vector<double> amounts(static_cast<size_t>(executor_->team().n_threads()));
    Clock::time_point start;
    Clock::time_point end;
    executor_->team().Run([&](TeamMember& member) {
      for (int i = 0; i < kGathering; ++i) member.Barrier();
      if (member.index() == 0) start = Clock::now();
      if (!member.is_late()) amounts[static_cast<size_t>(member.index())] = work();
      member.Barrier();
      if (member.index() == 0) end = Clock::now();
    });
    const double amount = std::accumulate(amounts.begin(), amounts.end(), 0.0);
    best = std::max(best, amount / std::chrono::duration<double>(end - start).count());
  }
  return best;
}

size_t BenchRunner::StepsOf(const BenchCase& test) const {
  if (!test.is_prompt) return test.n_tokens;
  return (test.n_tokens + executor_->max_rows() - 1) / executor_->max_rows();
}

double BenchRunner::Bound(const BenchCase& test, const MachineLimits& limits) const {
  const auto n_steps = static_cast<double>(StepsOf(test));
  const auto n_tokens = static_cast<double>(test.n_tokens * test.n_seqs);
  // Of a prompt, one token's logits are wanted.
  const auto n_outputs = test.is_prompt ? 1.0 : n_tokens;
  const double output_macs =
      static_cast<double>(model_->output().n_rows) * static_cast<double>(model_->output().n_cols);
  const double layer_macs = static_cast<double>(model_->macs_per_token()) - output_macs;
  const double ops = 2 * (n_tokens * layer_macs + n_outputs * output_macs);

  const double position_bytes =
      static_cast<double>(executor_->pool().page_bytes()) / static_cast<double>(kPageTokens);
  const double mean_length =
      static_cast<double>(test.depth) + static_cast<double>(test.n_tokens) / 2;
  const double bytes = n_steps * (static_cast<double>(model_->bytes_per_token()) +
                                  static_cast<double>(test.n_seqs) * mean_length * position_bytes);
  return n_tokens / std::max(ops / limits.ops_per_second, bytes / limits.read_bytes_per_second);
}

}  // namespace quern
