// Whole responses in JSON, and errors in OpenAI's shape.
#pragma once

#include "gguf/base/result.h"
#include "server/api/response_format.h"
#include "server/http/http_error.h"

namespace httplib {
struct Response;
}

namespace quern {

inline constexpr const char* kJsonType = "application/json";

void Reply(httplib::Response& response, int status, const Json& body);
void ReplyError(httplib::Response& response, const HttpError& error);
void ReplyError(httplib::Response& response, const Error& error);

/// The status and the message of an error of ours.
HttpError HttpErrorOf(const Error& error);

}  // namespace quern
