// Endpoints that generate: from a parsed request to its answers, whole or as a stream.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>

#include "server/access/screening.h"
#include "server/api/api_request.h"
#include "server/api/embeddings.h"
#include "server/exchange.h"
#include "server/http/http_message.h"
#include "server/inference/model_pool.h"

namespace quern {

struct AnsweringOptions {
  std::string version;                           ///< of the program
  std::chrono::milliseconds queue_timeout{0};    ///< most time in the queue; 0: no limit
  std::chrono::milliseconds ping_every{15'000};  ///< a comment on a stream that is silent so long
  Pooling pooling = Pooling::kMean;              ///< of embeddings
  bool context_shift = false;  ///< full contexts are shifted; else the answer ends
  bool audit_prompts = false;  ///< the record of a request keeps its prompt
};

/// What answering a request needs beside it and the model.
struct AnsweringCall {
  const AnsweringOptions& options;
  std::shared_ptr<const Screening> screening;  ///< of prompts; null: none
  std::shared_ptr<Exchange> exchange;
  std::function<bool()> is_client_gone;
};

// Both answer in the thread of the connection, and hold the model until the answer has been
// written.

ReplyResult Complete(const ApiRequest& request, ModelLease lease, const AnsweringCall& call);
ReplyResult Embed(const EmbeddingRequest& request, const ModelLease& lease,
                  const AnsweringCall& call);

}  // namespace quern
