// One answer as it grows, in the form that every API's responses are written from.
#pragma once

#include <cstddef>
#include <deque>
#include <optional>
#include <string>
#include <vector>

#include "runtime/engine/generate.h"
#include "runtime/text/tokenizer.h"

namespace quern {

/// A whole answer, or what one event has added to it.
struct Answer {
  std::string text;
  std::vector<SampledToken> tokens;         ///< of the text
  std::optional<SampledToken> end_token;    ///< that ended the generation, and is not of the text
  std::vector<SampledToken> prompt_tokens;  ///< of the prompt from its second on, where wanted
  bool finished = false;
  FinishReason finish_reason = FinishReason::kEndOfGeneration;
  std::string stop_text;
  GenerateStats stats;

  /// Whether the server has ended it before its time.
  bool is_cut_off() const { return finished && finish_reason == FinishReason::kCancelled; }
};

/// Makes answers of events. Tokens come with the text that they made: those whose text is still
/// held back wait, and those of a stop text and the one that ends an answer do not appear.
class AnswerBuilder {
 public:
  explicit AnswerBuilder(const Tokenizer& tokenizer) : tokenizer_(&tokenizer) {}

  /// What this event adds.
  Answer Add(const GenerateEvent& event);

 private:
  const Tokenizer* tokenizer_;
  std::deque<SampledToken> waiting_;
  size_t text_bytes_ = 0;   ///< of all text so far
  size_t token_bytes_ = 0;  ///< of all tokens that have appeared
};

/// Puts `part` behind `whole`.
void Append(Answer part, Answer* whole);

}  // namespace quern
