// The answers to one HTTP request while they are generated.
#pragma once

#include <chrono>
#include <cstddef>
#include <memory>
#include <optional>
#include <vector>

#include "runtime/text/tokenizer.h"
#include "server/api/answer.h"
#include "server/inference/request_group.h"

namespace quern {

/// Makes answers of a group's events.
class Generation {
 public:
  Generation(std::unique_ptr<GenerateGroup> group, const Tokenizer& tokenizer)
      : group_(std::move(group)), builders_(group_->size(), AnswerBuilder(tokenizer)) {}

  struct Part {
    size_t index;  ///< of the answer
    Answer added;
  };
  /// What the next event adds, or nothing when none came within `timeout`.
  std::optional<Part> Next(std::chrono::milliseconds timeout);

  size_t n_answers() const { return builders_.size(); }
  /// Whether every answer has ended.
  bool finished() const { return group_->finished(); }

 private:
  std::unique_ptr<GenerateGroup> group_;
  std::vector<AnswerBuilder> builders_;  ///< by answer
};

}  // namespace quern
