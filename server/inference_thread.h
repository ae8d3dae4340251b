// The thread that owns the engine, and the only door to it for HTTP threads.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "gguf/result.h"
#include "runtime/engine.h"
#include "server/event_queue.h"

namespace quern {

/// A request on its way through the inference thread; its HTTP thread holds it while it writes.
struct Ticket {
  GenerateRequest request;
  EventQueue events;
  std::atomic<bool> cancelled{false};  ///< set by the HTTP thread when its client is gone
};

class InferenceThread {
 public:
  /// `max_requests`: most requests held at once, waiting and running together.
  InferenceThread(std::unique_ptr<Engine> engine, size_t max_requests);
  /// Cancels what runs, and joins the thread.
  ~InferenceThread();
  InferenceThread(const InferenceThread&) = delete;
  InferenceThread& operator=(const InferenceThread&) = delete;

  /// Checks a request in the calling thread and hands it over; never waits for the inference
  /// thread. Errors: those of Engine::Check; kOutOfMemory when max_requests are held; kCancelled
  /// after Close.
  Result<std::shared_ptr<Ticket>> Submit(GenerateRequest request);

  /// Takes no more requests, gives those that are held until `deadline` to finish, and then cancels
  /// them. Any thread.
  void Close(std::chrono::steady_clock::time_point deadline);

  const Model& model() const { return engine_->model(); }
  /// Requests handed over and not yet finished.
  size_t n_active() const { return n_active_; }
  size_t max_requests() const { return max_requests_; }

 private:
  struct Running {
    std::shared_ptr<Ticket> ticket;
    RequestId id;
  };

  void Loop();
  /// Takes what has arrived; while there is nothing to do, waits for it. False at the end.
  bool TakeArrivals(bool busy);
  void Start(const std::shared_ptr<Ticket>& ticket);
  void OnEvent(const Ticket* ticket, const GenerateEvent& event);

  std::unique_ptr<Engine> engine_;
  size_t max_requests_;
  std::atomic<size_t> n_active_{0};
  std::atomic<bool> closed_{false};      ///< no more requests
  std::atomic<bool> cancel_all_{false};  ///< those that are held end now
  std::mutex mutex_;
  std::condition_variable work_;
  std::vector<std::shared_ptr<Ticket>> arrivals_;  ///< under mutex_
  bool stopping_ = false;                          ///< under mutex_
  std::vector<Running> running_;                   ///< of the inference thread alone
  std::thread thread_;
};

}  // namespace quern
