// Options of the commands that generate text: model, context, threads and sampling, with
// llama.cpp's names.
#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "gguf/base/result.h"
#include "runtime/engine/engine.h"
#include "tools/options/model_argument.h"
#include "tools/options/sampling_options.h"
#include "tools/options/session.h"
#include "tools/options/shared_options.h"

namespace quern {

class GenerationOptions {
 public:
  /// `batch_size`: most prompt tokens of a step where the command line sets none.
  explicit GenerationOptions(size_t batch_size = 512) : batch_size_(batch_size) {}

  void AddTo(CLI::App* command);
  /// For commands that answer conversations.
  void AddChatTemplateTo(CLI::App* command) { chat_template_.AddTo(command); }

  struct Loaded {
    Session session;
    SamplingParams sampling;  ///< what the file recommends, and the command line over it
  };
  /// Loads the model, with context for `n_parallel` sequences.
  Result<Loaded> Load(size_t n_parallel = 1) const;

  /// A request for `prompt` as the options say.
  GenerateRequest Request(std::vector<Token> prompt, const SamplingParams& sampling) const;

 private:
  ModelArgument model_;
  std::optional<size_t> n_ctx_;
  int n_threads_ = 0;
  LoadMode load_mode_ = LoadMode::kMmap;
  size_t batch_size_;
  CacheTypeOptions cache_type_;
  ChatTemplateOptions chat_template_;
  int64_t n_predict_ = -1;
  std::vector<std::string> stop_;
  SamplingOptions sampling_;
};

}  // namespace quern
