#include "server/http_reply.h"

#include <string>
#include <utility>

namespace quern {
namespace {

constexpr const char* kJsonType = "application/json";

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

HttpReply JsonReply(const Json& body) { return {.content_type = kJsonType, .body = Dump(body)}; }

HttpReply ErrorReply(const HttpError& error) {
  HttpReply reply{.status = error.status, .content_type = kJsonType, .body = HttpErrorBody(error)};
  if (error.status == 401) reply.headers.Add("WWW-Authenticate", "Bearer");
  if (error.status == 429 || error.status == 503) {
    reply.headers.Add("Retry-After", std::to_string(error.retry_after));
  }
  return reply;
}

HttpError HttpErrorOf(const Error& error) { return {StatusOf(error.code), error.message}; }

tl::unexpected<NoReply> Refuse(HttpError error) {
  return tl::unexpected<NoReply>(std::move(error));
}

tl::unexpected<NoReply> Refuse(const Error& error) { return Refuse(HttpErrorOf(error)); }

}  // namespace quern
