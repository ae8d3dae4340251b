#include "server/http_reply.h"

#include <httplib.h>

namespace quern {
namespace {

int StatusOf(ErrorCode code) {
  switch (code) {
    case ErrorCode::kNotFound:
      return 404;
    case ErrorCode::kBusy:
      return 429;
    case ErrorCode::kInvalidArgument:
    case ErrorCode::kContextExceeded:
    case ErrorCode::kUnsupported:
      return 400;
    case ErrorCode::kOutOfMemory:
    case ErrorCode::kCancelled:
      return 503;
    case ErrorCode::kCorruptFile:
    case ErrorCode::kIo:
      return 500;
  }
  return 500;
}

}  // namespace

void Reply(httplib::Response& response, int status, const Json& body) {
  response.status = status;
  response.set_content(Dump(body), kJsonType);
}

void ReplyError(httplib::Response& response, const HttpError& error) {
  if (error.status == 429 || error.status == 503) {
    response.set_header("Retry-After", std::to_string(error.retry_after));
  }
  response.status = error.status;
  response.set_content(HttpErrorBody(error), kJsonType);
}

void ReplyError(httplib::Response& response, const Error& error) {
  ReplyError(response, HttpErrorOf(error));
}

HttpError HttpErrorOf(const Error& error) { return {StatusOf(error.code), error.message}; }

}  // namespace quern
