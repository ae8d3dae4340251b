// A text in chunks of n_ctx tokens whose second halves are scored, as llama-perplexity takes it.
#pragma once

#include <functional>
#include <span>
#include <vector>

#include "gguf/base/result.h"
#include "runtime/forward/logits_runner.h"
#include "tools/quality/kld_base_file.h"

namespace quern {

/// Gets the logits of a scored position and the token of the text that follows it.
using OnScoredRow = std::function<Status(std::span<const float> logits, Token next)>;

/// Runs one chunk of `shape.n_ctx` tokens on its own. A vocabulary that begins texts with BOS has
/// it in place of the first token.
Status RunScoredChunk(const KldBaseShape& shape, std::span<const Token> chunk,
                      const Tokenizer& tokenizer, LogitsRunner& runner, const OnScoredRow& on_row);

}  // namespace quern
