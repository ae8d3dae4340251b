// An HTTP request refused: the status and OpenAI's error object.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <variant>

namespace quern {

/// Why a request gets no answer; the message is one line for its sender.
struct HttpError {
  int status;
  std::string message;
  std::string type{};  ///< empty: the one that goes with the status
  nlohmann::ordered_json details = nlohmann::ordered_json::object();  ///< further fields
  int retry_after = 1;  ///< seconds; told with 429 and 503. A place takes about one to get free.
};

/// The client has left: there is nobody to reply to.
struct ClientGone {};

/// Why a request gets no answer.
using NoReply = std::variant<HttpError, ClientGone>;

/// `{"error": {"message", "type", "code"}}` and what else the error tells; the code is the status.
std::string HttpErrorBody(const HttpError& error);

}  // namespace quern
