#include "tools/options/generation_options.h"

#include <optional>
#include <random>
#include <string>
#include <utility>

#include "runtime/engine/sampling_defaults.h"

namespace quern {

void GenerationOptions::AddTo(CLI::App* command) {
  model_.AddTo(command);
  command
      ->add_option("-n,--predict,--n-predict", n_predict_,
                   "Most tokens of an answer; -1: until it ends (default)")
      ->check(CLI::Range(int64_t{-1}, INT64_MAX))
      ->check([](const std::string& text) {
        return text == "0" ? "0 tokens, expected -1 or at least 1" : std::string();
      });
  command->add_option("--stop,-r,--reverse-prompt", stop_,
                      "Text that ends an answer, and is not part of it; may be given again");
  AddContextOption(command, "Most tokens of prompt and answer", &n_ctx_);
  AddThreadsOption(command, &n_threads_);
  AddLoadOption(command, &load_mode_);
  AddBatchSizeOption(command, &batch_size_);
  cache_type_.AddTo(command);
  sampling_.AddTo(command, "as the model's file recommends");
}

Result<GenerationOptions::Loaded> GenerationOptions::Load(size_t n_parallel) const {
  Result<GgufFile> file = model_.Open();
  if (!file) return Propagate(file);
  Result<HParams> hparams = HParams::Load(*file);
  if (!hparams) return Propagate(hparams);
  Result<SamplingParams> recommended = RecommendedSampling(*file);
  if (!recommended) return Propagate(recommended);
  Result<SamplingParams> sampling = sampling_.Over(*std::move(recommended));
  if (!sampling) return Propagate(sampling);
  sampling->seed = sampling_.seed().value_or(std::random_device{}());

  EngineOptions engine;
  engine.n_threads = n_threads_;
  engine.chunk_tokens = batch_size_;
  engine.kv_types = cache_type_.types();
  engine.n_ctx = ContextFor(*hparams, n_ctx_);
  Result<std::optional<std::string>> chat_template = chat_template_.Source();
  if (!chat_template) return Propagate(chat_template);
  Result<Session> session = Session::Load(
      *file,
      {.mode = load_mode_, .n_threads = n_threads_, .chat_template = *std::move(chat_template)},
      engine, n_parallel);
  if (!session) return Propagate(session);
  return Loaded{std::move(*session), std::move(*sampling)};
}

GenerateRequest GenerationOptions::Request(std::vector<Token> prompt,
                                           const SamplingParams& sampling) const {
  GenerateRequest request;
  request.prompt = std::move(prompt);
  if (n_predict_ > 0) request.max_tokens = static_cast<size_t>(n_predict_);
  request.sampling = sampling;
  request.stop = stop_;
  return request;
}

}  // namespace quern
