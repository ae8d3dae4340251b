// Embeddings: what an engine is asked for, and what it tells.
#pragma once

#include <functional>
#include <utility>
#include <vector>

#include "runtime/engine/request.h"
#include "runtime/text/token.h"

namespace quern {

/// How the hidden states of a prompt become one vector.
enum class Pooling : uint8_t { kMean, kLast };

struct EmbedRequest {
  std::vector<Token> prompt;  ///< at least one token
  Pooling pooling = Pooling::kMean;
};

struct Embedding {
  std::vector<float> values;  ///< [n_embd], of length 1; empty if it was cancelled
  bool cancelled = false;
  PromptStats stats;

  static Embedding Cancelled() { return {.values = {}, .cancelled = true, .stats = {}}; }
  // NOLINTNEXTLINE(readability-convert-member-functions-to-static): as GenerateEvent has it
  bool is_last() const { return true; }
  bool is_cancelled() const { return cancelled; }
};

using EmbedSink = std::function<void(const Embedding&)>;

}  // namespace quern
