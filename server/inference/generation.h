// The answers to one HTTP request while they are made.
#pragma once

#include <chrono>
#include <cstddef>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "gguf/base/result.h"
#include "server/api/answer.h"
#include "server/inference/inference_thread.h"

namespace quern {

/// Hands requests over and their answers out. What is not finished is cancelled when it goes.
///
/// No more are handed over at a time than the engine runs together; the others follow as answers
/// end, so that a long list leaves room in the line for other clients.
class Generation {
 public:
  /// `requests` have passed InferenceThread::Check. Errors: those of InferenceThread::Submit.
  static Result<std::unique_ptr<Generation>> Start(InferenceThread* inference,
                                                   std::vector<GenerateRequest> requests);
  ~Generation();
  Generation(const Generation&) = delete;
  Generation& operator=(const Generation&) = delete;

  enum class Begin { kStarted, kTimedOut, kClientGone, kCutOff };
  /// Waits until one of the answers has left the line, at most `timeout`; 0 is for ever.
  Begin AwaitBegin(std::chrono::milliseconds timeout, const std::function<bool()>& is_client_gone);

  struct Part {
    size_t index;  ///< of the answer
    Answer added;
  };
  /// What the next event adds, or nothing when none came within `patience`.
  std::optional<Part> Next(std::chrono::milliseconds patience);

  size_t n_answers() const { return builders_.size(); }
  /// Whether every answer has ended.
  bool finished() const { return n_finished_ == n_answers(); }

 private:
  Generation(InferenceThread* inference, std::vector<GenerateRequest> requests);

  /// Hands over what there is room for. Errors: those of InferenceThread::Submit.
  Status SubmitMore();

  InferenceThread* inference_;
  std::shared_ptr<EventQueue> events_ = std::make_shared<EventQueue>();
  std::vector<GenerateRequest> requests_;  ///< those from tickets_.size() on are still here
  std::vector<std::shared_ptr<Ticket>> tickets_;
  std::vector<AnswerBuilder> builders_;  ///< by answer
  std::optional<AnswerEvent> early_;     ///< came while the begin was awaited
  size_t n_finished_ = 0;
};

}  // namespace quern
