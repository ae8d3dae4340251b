// Options of the commands that generate text: model, context, threads and sampling, with
// llama.cpp's names.
#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "gguf/result.h"
#include "runtime/engine.h"
#include "tools/model_argument.h"
#include "tools/session.h"
#include "tools/shared_options.h"

namespace quern {

class GenerationOptions {
 public:
  /// `batch_size`: most prompt tokens of a step where the command line sets none.
  explicit GenerationOptions(size_t batch_size = 512) : batch_size_(batch_size) {}

  void AddTo(CLI::App* command);

  struct Loaded {
    Session session;
    SamplingParams sampling;  ///< what the file recommends, and the command line over it
  };
  /// Loads the model, with context for `n_parallel` sequences.
  Result<Loaded> Load(size_t n_parallel = 1) const;

  /// A request for `prompt` as the options say.
  GenerateRequest Request(std::vector<Token> prompt, const SamplingParams& sampling) const;

 private:
  Result<SamplingParams> Sampling(const GgufFile& file) const;

  ModelArgument model_;
  std::optional<size_t> n_ctx_;
  int n_threads_ = 0;
  LoadMode load_mode_ = LoadMode::kMmap;
  size_t batch_size_;
  CacheTypeOptions cache_type_;
  int64_t n_predict_ = -1;
  std::vector<std::string> stop_;

  std::optional<float> temperature_;
  std::optional<int> top_k_;
  std::optional<float> top_p_;
  std::optional<float> min_p_;
  std::optional<float> typical_p_;
  std::optional<int> repeat_last_n_;
  std::optional<float> repeat_penalty_;
  std::optional<float> presence_penalty_;
  std::optional<float> frequency_penalty_;
  std::vector<std::string> logit_bias_;
  int64_t seed_ = -1;
};

/// Reads "TOKEN+BIAS" or "TOKEN-BIAS", such as "15+1.5" and "15-inf". Errors: kInvalidArgument.
Result<std::pair<Token, float>> ParseLogitBias(const std::string& text);

}  // namespace quern
