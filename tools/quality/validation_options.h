// What the commands logits, verify and perplexity share: the model and how it is run, and lists of
// tokens.
#pragma once

#include <CLI/CLI.hpp>
#include <memory>
#include <string>
#include <vector>

#include "gguf/base/result.h"
#include "runtime/forward/logits_runner.h"
#include "runtime/model/model.h"
#include "tools/options/model_argument.h"
#include "tools/options/shared_options.h"

namespace quern {

/// A loaded model, ready to run texts.
struct ValidationModel {
  std::shared_ptr<const Model> model;
  std::unique_ptr<LogitsRunner> runner;
};

class ValidationOptions {
 public:
  void AddTo(CLI::App* command);

  /// Loads the model with room for texts of `n_ctx` tokens.
  Result<ValidationModel> Load(size_t n_ctx) const;

 private:
  ModelArgument model_;
  int n_threads_ = 0;
  LoadMode load_mode_ = LoadMode::kMmap;
  size_t batch_size_ = 512;
  CacheTypeOptions cache_type_;
};

/// The options --tokens and --tokens-file.
class TokensOptions {
 public:
  void AddTo(CLI::App* command);

  bool given() const { return !list_.empty() || !file_.empty(); }

  /// Errors: kInvalidArgument for none, and those of ParseTokens and of the file.
  Result<std::vector<Token>> Read() const;

 private:
  std::string list_;
  std::string file_;
};

}  // namespace quern
