// The thread that owns the engine, and the only door to it for HTTP threads.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <functional>
#include <memory>
#include <mutex>
#include <span>
#include <string_view>
#include <thread>
#include <variant>
#include <vector>

#include "gguf/base/result.h"
#include "runtime/engine/engine.h"
#include "server/inference/event_queue.h"
#include "server/inference/stall_timer.h"
#include "server/inference/thread_budget.h"

namespace quern {

/// A request, and where its events go.
template <typename Request, typename Event>
struct Work {
  Request request;
  std::shared_ptr<EventQueue<Event>> events;
};
using GenerateWork = Work<GenerateRequest, GenerateEvent>;
using EmbedWork = Work<EmbedRequest, Embedding>;

/// One request on its way through the inference thread; its HTTP thread holds it while it writes.
struct Ticket {
  std::variant<GenerateWork, EmbedWork> work;
  size_t prompt_tokens = 0;
  size_t index = 0;                    ///< of the request among those that share the queue
  std::atomic<bool> started{false};    ///< it has left the queue of those that wait
  std::atomic<bool> cancelled{false};  ///< set by the HTTP thread when its client is gone
};

/// Who hears from an inference thread, on that thread; each may be null.
struct InferenceListener {
  /// Seconds between two tokens of an answer.
  std::function<void(double)> on_inter_token{};
  /// A step threw `what`, as for want of memory; the answers under way, so many, are cancelled.
  std::function<void(std::string_view what, size_t n_cancelled)> on_failed_step{};
};

class InferenceThread {
 public:
  using Tickets = std::vector<std::shared_ptr<Ticket>>;

  /// `max_queue`: most answers that wait beside those that the engine runs together.
  /// Each step takes its threads from `budget`, where there is one, which outlives it.
  InferenceThread(std::unique_ptr<Engine> engine, size_t max_queue, InferenceListener listener = {},
                  ThreadBudget* budget = nullptr);
  /// Cancels what runs, and joins the thread.
  ~InferenceThread();
  InferenceThread(const InferenceThread&) = delete;
  InferenceThread& operator=(const InferenceThread&) = delete;

  /// As Engine::Check. Any thread.
  Status Check(const GenerateRequest& request) const { return engine_->Check(request); }
  Status Check(const EmbedRequest& request) const { return engine_->Check(request); }

  /// Moves requests that have passed Check to the inference thread, all or none; their events come
  /// to `events`, the first request's with the index `first`. Never waits for that thread. Errors:
  /// kBusy when too many are held already; kCancelled after Close.
  Result<Tickets> Submit(std::span<GenerateRequest> requests, size_t first,
                         const std::shared_ptr<GenerateQueue>& events);
  Result<Tickets> Submit(std::span<EmbedRequest> requests, size_t first,
                         const std::shared_ptr<EmbedQueue>& events);

  /// Takes no more requests, gives those that are held until `deadline` to finish, and then cancels
  /// them. Any thread.
  void Close(std::chrono::steady_clock::time_point deadline);

  const Model& model() const { return engine_->model(); }
  const EngineOptions& options() const { return engine_->options(); }
  /// What the engine held after its last step, and what has arrived since. Any thread; does not
  /// wait for a step.
  EngineStatus status() const;
  /// For how long it has not come round to what there is to do; a step takes about a second at
  /// most. Zero while there is nothing. Any thread.
  std::chrono::steady_clock::duration stalled() const;
  /// Whether it takes no more requests.
  bool closed() const { return closed_; }
  /// Most answers that run and wait together.
  size_t max_requests() const { return max_requests_; }
  /// Answers handed over and not yet finished.
  size_t n_active() const { return n_active_; }

 private:
  using Clock = std::chrono::steady_clock;
  struct Running {
    std::shared_ptr<Ticket> ticket;
    RequestId id;
    Clock::time_point last_token;  ///< the clock's beginning: there was none
  };

  void Loop();
  /// A step of the engine. One that throws, as for want of memory, ends what runs.
  bool Step();
  /// Takes what has arrived; while there is nothing to do, waits for it. False at the end.
  bool TakeArrivals(bool busy);
  void Start(const std::shared_ptr<Ticket>& ticket);
  template <typename Request, typename Event>
  Result<Tickets> SubmitAll(std::span<Request> requests, size_t first,
                            const std::shared_ptr<EventQueue<Event>>& events);
  template <typename Event>
  void OnEvent(const Ticket* ticket, const std::shared_ptr<EventQueue<Event>>& events,
               const Event& event);
  /// Counts the time since the answer's token before.
  void NoteToken(Running& running, Clock::time_point now);
  /// After a step: tells monitors, and those who wait for their start.
  void Publish();

  std::unique_ptr<Engine> engine_;
  size_t max_requests_;
  InferenceListener listener_;
  ThreadBudget* budget_;
  std::atomic<size_t> n_active_{0};
  std::atomic<bool> closed_{false};      ///< no more requests
  std::atomic<bool> cancel_all_{false};  ///< those that are held end now
  mutable std::mutex mutex_;
  std::condition_variable work_;
  std::vector<std::shared_ptr<Ticket>> arrivals_;  ///< under mutex_
  bool stopping_ = false;                          ///< under mutex_
  StallTimer stall_;                               ///< under mutex_
  EngineStatus status_;                            ///< under mutex_
  std::vector<Running> running_;                   ///< of the inference thread alone
  std::thread thread_;
};

}  // namespace quern
