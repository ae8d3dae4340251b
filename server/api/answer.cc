#include "server/api/answer.h"

#include <iterator>
#include <utility>

namespace quern {
namespace {

template <typename T>
void MoveBehind(std::vector<T>& part, std::vector<T>* whole) {
  whole->insert(whole->end(), std::make_move_iterator(part.begin()),
                std::make_move_iterator(part.end()));
}

}  // namespace

Answer AnswerBuilder::Add(const GenerateEvent& event) {
  Answer part;
  part.text = event.text;
  part.prompt_tokens = event.prompt_logprobs;
  part.finished = event.finished;
  part.finish_reason = event.finish_reason;
  part.stop_text = event.stop_text;
  part.stats = event.stats;

  const bool ends = event.finished && event.finish_reason == FinishReason::kEndOfGeneration;
  if (event.token) {
    if (ends) {
      part.end_token = event.token;
    } else {
      waiting_.push_back(*event.token);
    }
  }
  text_bytes_ += event.text.size();
  const bool all = event.finished && event.stop_text.empty();
  while (!waiting_.empty()) {
    const size_t bytes = token_bytes_ + tokenizer_->Piece(waiting_.front().token).size();
    if (!all && bytes > text_bytes_) break;
    token_bytes_ = bytes;
    part.tokens.push_back(std::move(waiting_.front()));
    waiting_.pop_front();
  }
  return part;
}

void Append(Answer part, Answer* whole) {
  whole->text += part.text;
  MoveBehind(part.tokens, &whole->tokens);
  if (part.end_token) whole->end_token = std::move(part.end_token);
  MoveBehind(part.prompt_tokens, &whole->prompt_tokens);
  whole->finished = part.finished;
  whole->finish_reason = part.finish_reason;
  whole->stop_text = std::move(part.stop_text);
  whole->stats = part.stats;
}

}  // namespace quern
