// `quern run`: continues a prompt.
#include <fmt/format.h>
#include <unistd.h>

#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>

#include "gguf/base/read_text.h"
#include "tools/cli/commands.h"
#include "tools/options/generation_options.h"

namespace quern {
namespace {

struct RunOptions {
  GenerationOptions generation;
  std::string prompt;
  CLI::Option* prompt_option = nullptr;
  std::string file;
  bool ignore_eos = false;
  bool verbose = false;
  bool json = false;
  int n_probs = -1;
};

/// An editor or echo ends a file with a line end that is no part of the prompt.
Result<std::string> ReadPrompt(const std::string& path) {
  Result<std::string> text = ReadText(path);
  if (text && text->ends_with('\n')) text->pop_back();
  return text;
}

Result<std::string> PromptOf(const RunOptions& options) {
  if (options.prompt_option->count() > 0) return options.prompt;
  if (!options.file.empty()) return ReadPrompt(options.file);
  if (isatty(STDIN_FILENO) == 1) {
    return Fail(ErrorCode::kInvalidArgument,
                "no prompt: give one with -p TEXT, -f FILE or on stdin");
  }
  return ReadPrompt("-");
}

nlohmann::json ToJson(const Tokenizer& tokenizer, Token token, float logprob) {
  return {{"id", token}, {"text", tokenizer.Piece(token)}, {"logprob", logprob}};
}

/// The whole result. Text that is not UTF-8 is replaced, and an infinite log-probability becomes
/// null.
std::string ToJson(const RunOptions& options, const Session& session,
                   const SamplingParams& sampling, const std::string& prompt,
                   const FinishedAnswer& answer) {
  const Tokenizer& tokenizer = session.model().tokenizer();
  nlohmann::ordered_json result = {
      {"model", session.name()},
      {"prompt", prompt},
      {"text", answer.text},
      {"finish_reason", NameOf(answer.finish_reason)},
      {"prompt_tokens", answer.stats.prompt_tokens},
      {"generated_tokens", answer.stats.generated_tokens},
      {"seed", sampling.seed},
      {"load_seconds", session.load_seconds()},
      {"prefill_seconds", answer.stats.prefill_seconds},
      {"prefill_tokens_per_second", PromptSpeed(answer.stats)},
      {"decode_seconds", answer.stats.decode_seconds},
      {"decode_tokens_per_second", AnswerSpeed(answer.stats)},
  };
  nlohmann::json tokens = nlohmann::json::array();
  for (const SampledToken& sampled : answer.tokens) {
    if (options.n_probs < 0) {
      tokens.push_back(sampled.token);
      continue;
    }
    nlohmann::json token = ToJson(tokenizer, sampled.token, sampled.logprob);
    token["top"] = nlohmann::json::array();
    for (const TokenLogprob& top : sampled.top) {
      token["top"].push_back(ToJson(tokenizer, top.token, top.logprob));
    }
    tokens.push_back(std::move(token));
  }
  result["tokens"] = tokens;
  return result.dump(2, ' ', false, nlohmann::json::error_handler_t::replace);
}

Result<int> Run(const RunOptions& options) {
  Result<std::string> prompt = PromptOf(options);
  if (!prompt) return Propagate(prompt);
  Result<GenerationOptions::Loaded> loaded = options.generation.Load();
  if (!loaded) return Propagate(loaded);
  auto& [session, sampling] = *loaded;
  sampling.n_logprobs = options.n_probs;

  GenerateRequest request =
      options.generation.Request(session.model().EncodePrompt(*prompt), sampling);
  request.ignore_eos = options.ignore_eos;
  const auto print = [&](std::string_view text) {
    if (options.json) return;
    fmt::print("{}", text);
    std::fflush(stdout);
  };
  Result<FinishedAnswer> answer = session.Run(std::move(request), print, nullptr);
  if (!answer) return Propagate(answer);

  fmt::print("{}\n", options.json ? ToJson(options, session, sampling, *prompt, *answer) : "");
  if (options.verbose) {
    PrintTimings(session, answer->stats);
    fmt::print(stderr, "seed    {}\n", sampling.seed);
  }
  return 0;
}

}  // namespace

void AddRunCommand(Commands& commands) {
  auto options = std::make_shared<RunOptions>();
  CLI::App* command = commands.Add("run", "Continue a prompt", [options] { return Run(*options); });
  options->prompt_option =
      command->add_option("-p,--prompt", options->prompt, "The prompt, taken as it is");
  command
      ->add_option("-f,--file", options->file,
                   "File with the prompt, - is stdin; its last line end is dropped")
      ->type_name("FILE")
      ->excludes(options->prompt_option);
  options->generation.AddTo(command);
  command->add_flag("--ignore-eos", options->ignore_eos,
                    "Go on when the model ends its answer, up to -n tokens");
  command->add_flag("--json", options->json, "Print the whole result as JSON");
  command
      ->add_option("--n-probs", options->n_probs,
                   "With --json: log-probabilities of each token and of the N best")
      ->check(CLI::Range(0, 1000));
  command->add_flag("-v,--verbose", options->verbose, "Print times to stderr");
}

}  // namespace quern
