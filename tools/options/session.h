// A model that is loaded and ready to answer, as the commands that generate text use it.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "gguf/base/result.h"
#include "gguf/gguf_file.h"
#include "runtime/engine/engine.h"

namespace quern {

/// A whole answer to one request.
struct FinishedAnswer {
  std::string text;
  std::vector<SampledToken> tokens;  ///< the token that ended the answer included
  FinishReason finish_reason = FinishReason::kEndOfGeneration;
  GenerateStats stats;
};

class Session {
 public:
  /// Loads the model, with a progress bar where it is packed. `options.n_ctx` is for one sequence,
  /// and there is room for `n_parallel`; more than the model was trained for is warned of.
  static Result<Session> Load(const GgufFile& file, LoadOptions load, EngineOptions options,
                              size_t n_parallel = 1);

  const Model& model() const { return engine_->model(); }
  Engine& engine() { return *engine_; }
  /// Most tokens of one sequence, prompt and answer.
  size_t n_ctx() const { return engine_->options().n_ctx; }
  double load_seconds() const { return load_seconds_; }
  /// What to call the model: its own name, else its file's.
  const std::string& name() const { return name_; }

  /// Runs one request to its end. `on_text` gets the text as it grows; the answer is cancelled when
  /// `stopped` says so.
  Result<FinishedAnswer> Run(GenerateRequest request,
                             const std::function<void(std::string_view)>& on_text,
                             const std::function<bool()>& stopped);

 private:
  std::unique_ptr<Engine> engine_;
  std::string name_;
  double load_seconds_ = 0;
};

/// Prints a line each on loading, prompt and answer to stderr: tokens, seconds, tokens per second.
void PrintTimings(const Session& session, const GenerateStats& stats);

/// Tokens per second of the prompt and of the answer; 0 where no time was measured. The first token
/// of an answer comes with the prompt, so it does not count for the answer's speed.
double PromptSpeed(const GenerateStats& stats);
double AnswerSpeed(const GenerateStats& stats);

}  // namespace quern
