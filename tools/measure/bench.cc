// `quern bench`: tokens per second of prompts and of answers, beside what the machine allows.
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "gguf/base/parse_number.h"
#include "runtime/model/model.h"
#include "tools/cli/commands.h"
#include "tools/measure/bench_report.h"
#include "tools/measure/bench_runner.h"
#include "tools/measure/step_profile.h"
#include "tools/options/load_model.h"
#include "tools/options/model_argument.h"
#include "tools/options/shared_options.h"
#include "tools/terminal/line_reader.h"

namespace quern {
namespace {

struct BenchOptions {
  ModelArgument model;
  std::vector<size_t> n_prompt = {512};
  std::vector<size_t> n_gen = {128};
  std::vector<size_t> depths = {0};
  std::vector<size_t> n_seqs = {1};
  std::vector<int> threads;
  LoadMode load_mode = LoadMode::kPack;
  size_t batch_size = 512;
  CacheTypeOptions cache_type;
  int repetitions = 5;
  std::string format = "md";
  bool profile = false;
  std::string trace_path;
  bool by_turns = false;
};

std::vector<BenchCase> CasesOf(const BenchOptions& options) {
  std::vector<BenchCase> cases;
  for (const size_t depth : options.depths) {
    for (const size_t n : options.n_prompt) {
      if (n > 0) cases.push_back({n, true, depth, 1});
    }
    for (const size_t n : options.n_gen) {
      for (const size_t n_seqs : options.n_seqs) {
        if (n > 0) cases.push_back({n, false, depth, n_seqs});
      }
    }
  }
  return cases;
}

BenchRow MeasureRow(BenchRunner& runner, const BenchCase& test, int n_threads, int repetitions) {
  BenchRow row;
  row.n_threads = n_threads;
  row.test = test;
  row.limits = runner.MeasureLimits();
  for (int i = 0; i < repetitions; ++i) row.speeds.push_back(runner.Measure(test));
  row.bound = runner.Bound(test, row.limits);
  row.n_steps = runner.StepsOf(test);
  return row;
}

/// A row for each line of stdin, which holds its number.
Result<int> TakeTurns(BenchRunner& runner, std::span<const BenchCase> cases, int n_threads,
                      const BenchOptions& options, BenchReport& report) {
  fmt::print("{}\n", nlohmann::json{{"rows", cases.size()}}.dump());
  std::fflush(stdout);
  LineReader input;
  for (std::string line; input.Read(line) == LineReader::Outcome::kLine;) {
    const auto index = ParseNumber<size_t>(line);
    if (!index || *index >= cases.size()) {
      return Fail(ErrorCode::kInvalidArgument, "'{}' on stdin: expected a row's number, 0 to {}",
                  line, cases.size() - 1);
    }
    report.Add(MeasureRow(runner, cases[*index], n_threads, options.repetitions));
  }
  return 0;
}

Status CheckOptions(const BenchOptions& options) {
  if (options.profile && options.format == "csv")
    return Fail(ErrorCode::kInvalidArgument, "--profile has no form in csv: expected md or json");
  if (!options.by_turns) return {};
  if (options.format != "jsonl")
    return Fail(ErrorCode::kInvalidArgument, "--turns prints lines of JSON: -o jsonl is needed");
  if (options.threads.size() > 1 || options.profile || !options.trace_path.empty()) {
    return Fail(ErrorCode::kInvalidArgument,
                "--turns goes with one number of threads, and neither --profile nor --trace");
  }
  return {};
}

Result<int> RunBench(const BenchOptions& options) {
  const std::vector<BenchCase> cases = CasesOf(options);
  if (cases.empty())
    return Fail(ErrorCode::kInvalidArgument, "nothing to measure: -p and -n are 0");
  if (Status status = CheckOptions(options); !status) return Propagate(status);
  const auto start = std::chrono::steady_clock::now();
  Result<GgufFile> file = options.model.Open();
  if (!file) return Propagate(file);
  Result<std::shared_ptr<const Model>> model = LoadModel(*file, {.mode = options.load_mode});
  if (!model) return Propagate(model);
  const std::chrono::duration<double> load_time = std::chrono::steady_clock::now() - start;

  size_t n_ctx = 0;
  size_t n_seqs = 1;
  for (const BenchCase& test : cases) {
    n_ctx = std::max(n_ctx, test.depth + test.n_tokens);
    n_seqs = std::max(n_seqs, test.n_seqs);
  }
  BenchReport report(options.format, *file, **model, load_time.count());
  std::vector<std::pair<std::string, StepTrace>> traces;
  std::vector<int> threads = options.threads;
  if (threads.empty()) threads = {AvailableThreads()};
  for (const int n_threads : threads) {
    Result<BenchRunner> runner = BenchRunner::Create(*model, options.batch_size, n_threads, n_ctx,
                                                     n_seqs, options.cache_type.types());
    if (!runner) return Propagate(runner);
    if (options.by_turns) return TakeTurns(*runner, cases, n_threads, options, report);
    for (const BenchCase& test : cases) {
      BenchRow row = MeasureRow(*runner, test, n_threads, options.repetitions);
      if (options.profile || !options.trace_path.empty()) {
        StepTrace trace = runner->Trace(test);
        if (options.profile) row.profile = ProfileOf(trace);
        traces.emplace_back(fmt::format("{}, threads {}", test.Name(), n_threads),
                            std::move(trace));
      }
      report.Add(std::move(row));
    }
  }
  report.Finish();
  if (options.trace_path.empty()) return 0;
  if (Status status = WriteChromeTrace(traces, options.trace_path); !status)
    return Propagate(status);
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
  add_list("-b,--n-seqs", options->n_seqs,
           "Sequences that generate together, one number or several (default: 1)")
      ->check(CLI::Range(1, 4096));
  AddLoadOption(command, &options->load_mode);
  options->cache_type.AddTo(command);
  AddBatchSizeOption(command, &options->batch_size, "--batch-size,--ubatch-size");
  command
      ->add_option("-r,--repetitions", options->repetitions,
                   "Times to measure each row, after one that does not count (default: 5)")
      ->check(CLI::Range(1, 10000));
  command->add_flag("--profile", options->profile,
                    "Show where the time of each row goes, measured once more");
  command
      ->add_option("--trace", options->trace_path,
                   "Write what every thread did to a file for chrome://tracing or Perfetto")
      ->type_name("FILE");
  command->add_flag("--turns", options->by_turns,
                    "Measure a row each time that its number, from 0, is a line of stdin, for "
                    "scripts that take turns with something else");
  command
      ->add_option("-o,--output", options->format,
                   "Form of the table: md (default), json, jsonl, csv")
      ->type_name("FORM")
      ->check(CLI::IsMember({"md", "json", "jsonl", "csv"}));
}

}  // namespace quern
