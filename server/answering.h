// Endpoints that generate: from a request's body to its answers, whole or as a stream.
#pragma once

#include <chrono>
#include <memory>
#include <string>

#include "server/api_request.h"
#include "server/exchange.h"
#include "server/inference_thread.h"
#include "server/model_endpoints.h"

namespace httplib {
struct Request;
struct Response;
}  // namespace httplib

namespace quern {

struct AnsweringOptions {
  std::string version;                           ///< of the program
  std::chrono::milliseconds queue_timeout{0};    ///< most time in the line; 0: no limit
  std::chrono::milliseconds ping_every{15'000};  ///< a comment on a stream that is silent so long
  Pooling pooling = Pooling::kMean;              ///< of embeddings
  bool context_shift = false;  ///< full contexts are shifted; else the answer ends
  bool audit_prompts = false;  ///< the record of a request keeps its prompt
  AnswerDefaults defaults;
};

/// All methods run in the thread of the request's connection.
class Answering {
 public:
  /// `inference` outlives it.
  Answering(InferenceThread* inference, ModelInfo info, AnsweringOptions options);

  void Complete(ApiKind kind, const std::shared_ptr<Exchange>& exchange,
                const httplib::Request& request, httplib::Response& response);
  void Embed(const std::shared_ptr<Exchange>& exchange, const httplib::Request& request,
             httplib::Response& response);

  InferenceThread& inference() const { return *inference_; }
  const ModelInfo& info() const { return info_; }

 private:
  InferenceThread* inference_;
  ModelInfo info_;
  AnsweringOptions options_;
};

}  // namespace quern
