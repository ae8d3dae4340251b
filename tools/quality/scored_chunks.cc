#include "tools/quality/scored_chunks.h"

namespace quern {

Status RunScoredChunk(const KldBaseShape& shape, std::span<const Token> chunk,
                      const Tokenizer& tokenizer, LogitsRunner& runner, const OnScoredRow& on_row) {
  // The last token is only predicted; nothing is asked of the position that it stands at.
  std::vector<Token> tokens(chunk.begin(), chunk.end() - 1);
  if (tokenizer.add_bos() && tokenizer.bos()) tokens.front() = *tokenizer.bos();
  return runner.Run(tokens, shape.first_scored(),
                    [&](size_t position, std::span<const float> logits) {
                      return on_row(logits, chunk[position + 1]);
                    });
}

}  // namespace quern
