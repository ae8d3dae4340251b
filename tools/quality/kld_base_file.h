// The files that `llama-perplexity --kl-divergence-base` writes: a text in chunks, with the
// log-probabilities that a model gave the second half of each, as 16-bit numbers.
#pragma once

#include <cstddef>
#include <cstdint>
#include <fstream>
#include <span>
#include <string>
#include <vector>

#include "gguf/base/output_file.h"
#include "gguf/base/result.h"
#include "runtime/text/token.h"

namespace quern {

/// Log-probabilities are stored down to 16 nats below each position's largest; below this they mean
/// "or less".
inline constexpr double kKldBaseFloor = -16;

/// Shape of such a file. Positions first_scored() to n_ctx-2 of each chunk are stored: those that
/// predict a token of the chunk with at least half a chunk before it.
struct KldBaseShape {
  size_t n_ctx = 0;  ///< tokens of a chunk
  size_t n_vocab = 0;
  size_t n_chunks = 0;

  size_t first_scored() const { return n_ctx / 2; }
  size_t scored_per_chunk() const { return n_ctx - 1 - first_scored(); }
};

/// Reads position after position, chunk by chunk.
class KldBaseReader {
 public:
  /// Whether the file begins like one.
  static bool Matches(const std::string& path);

  /// Checks header, tokens and size. Errors: kNotFound, kCorruptFile.
  static Result<KldBaseReader> Open(const std::string& path);

  const KldBaseShape& shape() const { return shape_; }
  /// All chunks, one after the other: n_chunks * n_ctx. A model that begins texts with BOS was
  /// given it in place of the first token of each chunk.
  std::span<const Token> tokens() const { return tokens_; }

  /// Log-probabilities of the next stored position, n_vocab of them.
  Status Read(std::span<double> log_probs);

 private:
  KldBaseReader() = default;
  std::string path_;
  std::ifstream stream_;
  KldBaseShape shape_;
  std::vector<Token> tokens_;
  std::vector<uint16_t> row_;
};

/// The file appears, or takes the place of an older one, at Finish.
class KldBaseWriter {
 public:
  /// `tokens`: n_chunks * n_ctx.
  static Result<KldBaseWriter> Create(const std::string& path, const KldBaseShape& shape,
                                      std::span<const Token> tokens);

  /// The next stored position's logits, n_vocab of them.
  Status Write(std::span<const float> logits);
  /// Errors when positions are missing or the disk refused them.
  Status Finish();

 private:
  KldBaseWriter(std::string path, OutputFile file, const KldBaseShape& shape);

  std::string path_;
  OutputFile file_;
  size_t missing_rows_;
  std::vector<uint16_t> row_;
};

}  // namespace quern
