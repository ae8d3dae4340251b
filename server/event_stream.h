// An answer as server-sent events, written while it is generated.
#pragma once

#include <chrono>
#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "server/api/answer.h"
#include "server/api/response_format.h"
#include "server/exchange.h"
#include "server/http/http_error.h"
#include "server/http/http_message.h"
#include "server/inference/generation.h"
#include "server/inference/model_pool.h"

namespace quern {

/// Why the server ends an answer that its client still waits for.
HttpError CutOffError(const InferenceThread& inference);

/// The events of one response, each with the next of its answers' tokens.
class EventStream final : public BodyStream {
 public:
  struct Options {
    size_t n_per_prompt = 1;               ///< answers
    std::chrono::milliseconds ping_every;  ///< a comment when it is silent so long
    std::chrono::milliseconds client_poll_interval;
  };
  EventStream(ModelLease lease, std::unique_ptr<Generation> generation,
              std::unique_ptr<ResponseFormat> format, std::shared_ptr<Exchange> exchange,
              const Options& options);
  /// Has the exchange note what its answers took.
  ~EventStream() override;
  EventStream(const EventStream&) = delete;
  EventStream& operator=(const EventStream&) = delete;

  State WriteNext(HttpSink& sink) override;

 private:
  using Clock = std::chrono::steady_clock;

  State WriteEvents(HttpSink& sink);
  bool Send(HttpSink& sink, const std::string& text);

  ModelLease lease_;  ///< goes last
  std::unique_ptr<Generation> generation_;
  std::unique_ptr<ResponseFormat> format_;
  std::shared_ptr<Exchange> exchange_;
  Options options_;
  std::vector<Answer> answers_;  ///< without their texts
  Clock::time_point last_write_ = Clock::now();
};

}  // namespace quern
