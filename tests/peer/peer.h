// llama.cpp from C++ tests: each call runs the driver llama_peer and reads back what it says.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "gguf/base/result.h"
#include "gguf/ggml_type.h"
#include "runtime/text/token.h"

namespace quern::peer {

/// Whether this build has llama.cpp's libraries (tools/setup fetches them).
bool IsAvailable();

/// A file of llama.cpp's models folder: vocabulary-only GGUF files and their test vectors
/// ("ggml-vocab-qwen2.gguf").
std::string ModelsFile(const std::string& name);

/// Whether those files are there: they serve where llama.cpp's libraries do not run, too.
bool HasModelsFiles();

struct TokenizeOptions {
  bool add_special = true;
  bool parse_special = false;
};

/// llama.cpp's tokens of each text.
Result<std::vector<std::vector<Token>>> Tokenize(const std::string& model,
                                                 std::span<const std::string> texts,
                                                 const TokenizeOptions& options = {});

/// llama.cpp's text of each list of tokens.
Result<std::vector<std::string>> Detokenize(const std::string& model,
                                            std::span<const std::vector<Token>> tokens,
                                            bool render_special = false);

struct LogitsOptions {
  int threads = 1;                  ///< its threads spin, which tests that run side by side pay for
  size_t batch = 512;               ///< tokens of one step
  std::string kv_type = "F16";      ///< also F32, BF16
  std::string flash_attn = "auto";  ///< also on, off
};

/// Logits of every position, [tokens][vocabulary].
Result<std::vector<float>> Logits(const std::string& model, std::span<const Token> tokens,
                                  const LogitsOptions& options = {});

/// Greedy answers to prompts of tokens, at most `max_tokens` each; they end with the
/// end-of-generation token if there was one.
Result<std::vector<std::vector<Token>>> Generate(const std::string& model,
                                                 std::span<const std::vector<Token>> prompts,
                                                 size_t max_tokens);

/// Quantizes a file as llama-quantize does; `type` is its name for the mix ("Q4_K_M").
Status Quantize(const std::string& in, const std::string& out, const std::string& type,
                bool pure = false);

/// Rows of `n_cols` floats to GGUF blocks of `type`.
Result<std::vector<std::byte>> QuantizeRows(GgmlType type, size_t n_cols,
                                            std::span<const float> rows);

/// GGUF blocks to rows of `n_cols` floats.
Result<std::vector<float>> DequantizeRows(GgmlType type, size_t n_cols,
                                          std::span<const std::byte> rows);

}  // namespace quern::peer

/// Ends a test that needs llama.cpp's files alone, where there are none.
#define QUERN_SKIP_WITHOUT_MODELS_FILES()                                                     \
  if (!::quern::peer::HasModelsFiles()) {                                                     \
    GTEST_SKIP() << "llama.cpp's files are not in QUERN_PEERS_DIR; tools/setup fetches them"; \
  }                                                                                           \
  static_assert(true, "a semicolon follows")

/// Ends a test that needs llama.cpp when this build has none.
#define QUERN_SKIP_WITHOUT_PEER()                                                                 \
  if (!::quern::peer::IsAvailable()) {                                                            \
    GTEST_SKIP() << "llama.cpp's libraries are not in QUERN_PEERS_DIR; tools/setup fetches them"; \
  }                                                                                               \
  static_assert(true, "a semicolon follows")
