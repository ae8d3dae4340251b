// Endpoints that generate: from a request's body to its answers, whole or as a stream.
#pragma once

#include <chrono>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>

#include "server/access/screening.h"
#include "server/api/api_request.h"
#include "server/exchange.h"
#include "server/inference/model_pool.h"

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
  std::shared_ptr<const Screening> screening = nullptr;  ///< of prompts; null: none
};

// Both answer a request, whose body is an object, in the thread of its connection, and hold the
// model until the answer has been written.

void Complete(ApiKind kind, ModelLease lease, const AnsweringOptions& options,
              const std::shared_ptr<Exchange>& exchange, const nlohmann::json& body,
              const httplib::Request& request, httplib::Response& response);
void Embed(ModelLease lease, const AnsweringOptions& options,
           const std::shared_ptr<Exchange>& exchange, const nlohmann::json& body,
           const httplib::Request& request, httplib::Response& response);

}  // namespace quern
