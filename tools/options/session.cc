#include "tools/options/session.h"

#include <fmt/format.h>

#include <chrono>
#include <cstdio>
#include <utility>

#include "tools/options/load_model.h"

namespace quern {

Result<Session> Session::Load(const GgufFile& file, LoadOptions load, EngineOptions options,
                              size_t n_parallel) {
  const auto start = std::chrono::steady_clock::now();
  Result<std::shared_ptr<const Model>> model = LoadModel(file, std::move(load));
  if (!model) return Propagate(model);

  const HParams& hparams = (*model)->hparams();
  WarnOfLongContext(hparams.n_ctx_train, options.n_ctx);
  Session session;
  // Whole pages for each: they do not share them.
  options.kv_tokens = (options.n_ctx + kPageTokens - 1) / kPageTokens * kPageTokens * n_parallel;
  Result<std::unique_ptr<Engine>> engine = Engine::Create(*model, options);
  if (!engine) return Propagate(engine);
  session.engine_ = std::move(*engine);
  session.name_ = hparams.name.empty() ? file.name() : hparams.name;
  session.load_seconds_ =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return session;
}

Result<FinishedAnswer> Session::Run(GenerateRequest request,
                                    const std::function<void(std::string_view)>& on_text,
                                    const std::function<bool()>& stopped) {
  FinishedAnswer answer;
  bool finished = false;
  Result<RequestId> id = engine_->Submit(std::move(request), [&](const GenerateEvent& event) {
    answer.text += event.text;
    finished = event.finished;
    answer.finish_reason = event.finish_reason;
    answer.stats = event.stats;
    if (event.token) answer.tokens.push_back(*event.token);
    if (on_text && !event.text.empty()) on_text(event.text);
  });
  if (!id) return Propagate(id);
  while (!finished && engine_->Step()) {
    if (stopped && stopped()) engine_->Cancel(*id);
  }
  return answer;
}

double PromptSpeed(const GenerateStats& stats) {
  const auto n_run = static_cast<double>(stats.prompt_tokens - stats.cached_tokens);
  return stats.prefill_seconds > 0 ? n_run / stats.prefill_seconds : 0;
}

double AnswerSpeed(const GenerateStats& stats) {
  if (stats.generated_tokens < 2 || stats.decode_seconds <= 0) return 0;
  return static_cast<double>(stats.generated_tokens - 1) / stats.decode_seconds;
}

void PrintTimings(const Session& session, const GenerateStats& stats) {
  fmt::print(stderr, "load    {:8.3f} s\n", session.load_seconds());
  fmt::print(stderr, "prompt  {:8.3f} s, {:5} tokens ({} cached), {:.1f} tok/s\n",
             stats.prefill_seconds, stats.prompt_tokens, stats.cached_tokens, PromptSpeed(stats));
  fmt::print(stderr, "eval    {:8.3f} s, {:5} tokens, {:.1f} tok/s\n", stats.decode_seconds,
             stats.generated_tokens, AnswerSpeed(stats));
}

}  // namespace quern
