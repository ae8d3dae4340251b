// The requests that one HTTP request makes of the engine, and their events.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "gguf/base/result.h"
#include "runtime/engine/embed.h"
#include "runtime/engine/generate.h"
#include "server/inference/event_queue.h"
#include "server/inference/inference_thread.h"

namespace quern {

/// Whether a group has left the queue.
enum class GroupStart : uint8_t { kStarted, kTimedOut, kClientGone, kCutOff };

/// Submits requests and hands their events out. What is not finished is cancelled when it goes.
///
/// No more are submitted at a time than the engine runs together; the others follow as those end,
/// so that a long list leaves room in the queue for other clients.
template <typename Request, typename Event>
class RequestGroup {
 public:
  /// `requests` have passed InferenceThread::Check. Errors: those of InferenceThread::Submit.
  static Result<std::unique_ptr<RequestGroup>> Submit(InferenceThread* inference,
                                                      std::vector<Request> requests);
  ~RequestGroup();
  RequestGroup(const RequestGroup&) = delete;
  RequestGroup& operator=(const RequestGroup&) = delete;

  /// Waits until one of the requests has left the queue, at most `timeout`; 0 is for ever.
  GroupStart AwaitStart(std::chrono::milliseconds timeout,
                        const std::function<bool()>& is_client_gone);

  /// The next event, or nothing when none came within `timeout`.
  std::optional<IndexedEvent<Event>> Next(std::chrono::milliseconds timeout);

  size_t size() const { return requests_.size(); }
  /// Whether every request has ended.
  bool finished() const { return n_finished_ == size(); }

 private:
  RequestGroup(InferenceThread* inference, std::vector<Request> requests)
      : inference_(inference), requests_(std::move(requests)) {}

  /// What there is room for. Errors: those of InferenceThread::Submit.
  Status SubmitMore();

  InferenceThread* inference_;
  std::shared_ptr<EventQueue<Event>> events_ = std::make_shared<EventQueue<Event>>();
  std::vector<Request> requests_;  ///< those from tickets_.size() on are still here
  InferenceThread::Tickets tickets_;
  std::optional<IndexedEvent<Event>> early_;  ///< came while the start was awaited
  size_t n_finished_ = 0;
};

extern template class RequestGroup<GenerateRequest, GenerateEvent>;
extern template class RequestGroup<EmbedRequest, Embedding>;

using GenerateGroup = RequestGroup<GenerateRequest, GenerateEvent>;
using EmbedGroup = RequestGroup<EmbedRequest, Embedding>;

}  // namespace quern
