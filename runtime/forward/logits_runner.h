// Logits of every position of a text: the forward pass without sampling, for validation.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <span>

#include "gguf/base/result.h"
#include "runtime/forward/forward_pass.h"
#include "runtime/model/model.h"

namespace quern {

struct LogitsOptions {
  size_t n_ctx = 4096;        ///< most tokens of one text
  int n_threads = 0;          ///< 0: AvailableThreads()
  size_t chunk_tokens = 512;  ///< tokens of one step; fewer where logits would take more than 64 MB
  KvTypes kv_types{};
};

class LogitsRunner {
 public:
  static Result<std::unique_ptr<LogitsRunner>> Create(std::shared_ptr<const Model> model,
                                                      const LogitsOptions& options);

  /// Called with a position and its logits, n_vocab floats that live until it returns. A failure
  /// ends the run.
  using OnRow = std::function<Status(size_t position, std::span<const float> logits)>;

  /// Runs one text from its beginning; `on_row` gets the positions from `first_wanted` on, in
  /// order. Errors: kInvalidArgument for a text that is empty or longer than n_ctx or a token
  /// outside the vocabulary.
  Status Run(std::span<const Token> tokens, size_t first_wanted, const OnRow& on_row);

 private:
  LogitsRunner(std::shared_ptr<const Model> model, const LogitsOptions& options,
               std::unique_ptr<ForwardPass> pass);
  std::shared_ptr<const Model> model_;
  LogitsOptions options_;
  std::unique_ptr<ForwardPass> pass_;
};

}  // namespace quern
