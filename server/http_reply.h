// Whole replies in JSON, and errors in OpenAI's shape.
#pragma once

#include <tl/expected.hpp>

#include "gguf/base/result.h"
#include "server/api/response_format.h"
#include "server/http/http_error.h"
#include "server/http/http_message.h"

namespace quern {

HttpReply JsonReply(const Json& body);
HttpReply ErrorReply(const HttpError& error);

/// The status and the message of an error of ours.
HttpError HttpErrorOf(const Error& error);

/// What a handler returns that refuses a request.
tl::unexpected<NoReply> Refuse(HttpError error);
tl::unexpected<NoReply> Refuse(const Error& error);

}  // namespace quern
