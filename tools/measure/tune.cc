// `quern tune`: which number of threads and batch size are best for a model on this machine.
#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "gguf/base/read_text.h"
#include "gguf/base/write_text.h"
#include "runtime/machine/cpu_limits.h"
#include "runtime/model/model.h"
#include "tools/cli/commands.h"
#include "tools/measure/model_section.h"
#include "tools/measure/tune_report.h"
#include "tools/measure/tune_runner.h"
#include "tools/options/load_model.h"
#include "tools/options/model_argument.h"
#include "tools/options/shared_options.h"

namespace quern {
namespace {

struct TuneOptions {
  ModelArgument model;
  std::vector<int> threads;
  std::vector<size_t> batch_sizes;
  std::vector<size_t> n_parallel = {1, 4, 16};
  size_t n_prompt = 512;
  size_t n_answer = 128;
  double seconds = 120;
  int n_rounds = 9;
  LoadMode load_mode = LoadMode::kPack;
  CacheTypeOptions cache_type;
  bool json = false;
  std::string config;
  std::string section;
};

template <typename T, typename Order>
void SortOnce(std::vector<T>* values, Order order) {
  std::sort(values->begin(), values->end(), order);
  values->erase(std::unique(values->begin(), values->end()), values->end());
}

TuneSettings SettingsOf(const TuneOptions& options) {
  TuneSettings settings;
  settings.may_skip_threads = options.threads.empty();
  settings.n_prompt = options.n_prompt;
  settings.n_answer = options.n_answer;
  settings.kv_types = options.cache_type.types();
  TuneTask& task = settings.task;
  task.threads =
      options.threads.empty() ? ThreadCounts(AllowedCores(), AvailableThreads()) : options.threads;
  task.may_drop_sizes = options.batch_sizes.empty();
  task.batch_sizes =
      options.batch_sizes.empty() ? std::vector<size_t>{64, 128, 256, 512} : options.batch_sizes;
  task.n_parallel = options.n_parallel;
  task.seconds = options.seconds;
  task.n_rounds = options.n_rounds;
  SortOnce(&task.threads, std::greater<>());
  SortOnce(&task.batch_sizes, std::less<>());
  SortOnce(&task.n_parallel, std::less<>());
  return settings;
}

/// `text` as one word of a shell's command line.
std::string ShellWord(const std::string& text) {
  constexpr std::string_view kPlain =
      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./:=@%+,";
  if (!text.empty() && text.find_first_not_of(kPlain) == std::string::npos) return text;
  std::string word = "'";
  for (const char c : text) word += c == '\'' ? "'\\''" : std::string(1, c);
  return word + "'";
}

/// The server's command line with the settings that are best, and those that were measured with.
std::string CommandFor(const TuneOptions& options, const GgufFile& file, const TuneResult& result) {
  std::string command = "quern serve";
  if (const std::string hub = options.model.hub_reference(); !hub.empty()) {
    command += " -hf " + ShellWord(hub);
  } else if (options.model.is_given()) {
    command += " " + ShellWord(file.name());
  }
  command += fmt::format(" -t {} --batch-size {}", result.best_threads(), result.best_batch_size());
  if (options.load_mode == LoadMode::kMmap) command += " --load mmap";
  const KvTypes types = options.cache_type.types();
  if (types.k != KvTypes{}.k) command += fmt::format(" --cache-type-k {}", NameOf(types.k));
  if (types.v != KvTypes{}.v) command += fmt::format(" --cache-type-v {}", NameOf(types.v));
  return command;
}

/// The configuration file with these settings. One that does not exist is empty.
Result<SectionChange> ChangeOf(const TuneOptions& options, const GgufFile& file, size_t threads,
                               size_t batch_size) {
  Result<std::string> text = ReadText(options.config);
  if (!text && text.error().code != ErrorCode::kNotFound) return Propagate(text);
  const ConfiguredModel model = {file.name(), options.model.hub_reference(), options.section};
  return SetModelNumbers(text ? *std::move(text) : "", options.config, model, threads, batch_size);
}

Status WriteSettings(const TuneOptions& options, const GgufFile& file, const TuneResult& result) {
  const Result<SectionChange> change =
      ChangeOf(options, file, result.best_threads(), result.best_batch_size());
  if (!change) return tl::unexpected(change.error());
  // Of a link, what it points to is replaced.
  std::error_code error;
  const std::filesystem::path path = std::filesystem::weakly_canonical(options.config, error);
  Status status = WriteText(error ? options.config : path.string(), change->text);
  if (status && !options.json) {
    fmt::print("\nWritten to {}, {} section {}.\n", options.config, change->is_new ? "new" : "its",
               change->section);
  }
  return status;
}

/// Before minutes are spent on measuring: whether the settings can be written afterwards.
Status CheckWriting(const TuneOptions& options, const GgufFile& file) {
  if (options.config.empty()) {
    if (options.section.empty()) return {};
    return Fail(ErrorCode::kInvalidArgument,
                "--model-name names a section for --write, which is "
                "missing");
  }
  if (options.config == "-")
    return Fail(ErrorCode::kInvalidArgument, "--write -: expected the path of a file");
  if (!options.model.is_given()) {
    return Fail(ErrorCode::kInvalidArgument,
                "--write: the built-in demo model is in no configuration, expected a MODEL");
  }
  const Result<SectionChange> change = ChangeOf(options, file, 1, 1);
  return change ? Status() : tl::unexpected(change.error());
}

Result<int> RunTune(const TuneOptions& options) {
  Result<GgufFile> file = options.model.Open();
  if (!file) return Propagate(file);
  if (Status status = CheckWriting(options, *file); !status) return Propagate(status);
  Result<std::shared_ptr<const Model>> model = LoadModel(*file, {.mode = options.load_mode});
  if (!model) return Propagate(model);
  const TuneSettings settings = SettingsOf(options);
  const Result<TuneResult> result = Tune(*model, settings);
  if (!result) return tl::unexpected(result.error());
  const std::string command = CommandFor(options, *file, *result);
  if (options.json) {
    fmt::print("{}\n", TuneJson(*result, settings, command)
                           .dump(2, ' ', false, nlohmann::json::error_handler_t::replace));
  } else {
    fmt::print("{}", TuneText(*result, settings, command));
  }
  if (options.config.empty()) return 0;
  if (Status status = WriteSettings(options, *file, *result); !status) return Propagate(status);
  return 0;
}

}  // namespace

void AddTuneCommand(Commands& commands) {
  auto options = std::make_shared<TuneOptions>();
  CLI::App* command = commands.Add("tune", "Find the best number of threads and batch size",
                                   [options] { return RunTune(*options); });
  options->model.AddTo(command);
  const auto add_list = [command](const char* names, auto& values, const char* description) {
    return command->add_option(names, values, description)->delimiter(',');
  };
  add_list("-t,--threads", options->threads,
           "Threads to compare, as 4,8 (default: all CPUs allowed, all cores, and fewer, as long "
           "as they are not much slower)")
      ->check(CLI::Range(1, kMostThreads));
  add_list("-b,--batch-size,--ubatch-size", options->batch_sizes,
           "Prompt tokens of a step to compare (default: 64,128,256,512, the larger if there is "
           "time)")
      ->check(CLI::Range(1, 1 << 16));
  add_list("--parallel", options->n_parallel,
           "Answers that run together, to be measured with the best threads (default: 1,4,16; also "
           "-np)")
      ->check(CLI::Range(1, 512));
  const CLI::Range is_count(1, 1 << 24);
  command
      ->add_option("-p,--n-prompt", options->n_prompt, "Prompt tokens of the request to choose for")
      ->check(is_count)
      ->capture_default_str();
  command->add_option("-n,--n-gen", options->n_answer, "Tokens of its answer")
      ->check(is_count)
      ->capture_default_str();
  command
      ->add_option("--seconds", options->seconds,
                   "About how long to measure; three rounds are measured however long they take")
      ->check(CLI::Range(0.0, 86400.0))
      ->capture_default_str();
  command
      ->add_option("-r,--rounds", options->n_rounds, "Most rounds in which the settings take turns")
      ->check(CLI::Range(1, 1000))
      ->capture_default_str();
  AddLoadOption(command, &options->load_mode);
  options->cache_type.AddTo(command);
  command->add_flag("--json", options->json, "Print all that was measured as JSON");
  command
      ->add_option("--write", options->config,
                   "Server's configuration file to write the best settings to, in the model's "
                   "section")
      ->type_name("FILE");
  command
      ->add_option("--model-name", options->section,
                   "NAME of that section, [models.NAME] (default: the one that has the model)")
      ->type_name("NAME");
}

}  // namespace quern
