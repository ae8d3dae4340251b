#include "server/http/http_error.h"

#include <utility>

namespace quern {
namespace {

const char* TypeOf(int status) {
  switch (status) {
    case 401:
      return "authentication_error";
    case 403:
      return "permission_error";
    case 404:
      return "not_found_error";
    case 429:
      return "rate_limit_error";
    case 503:
      return "unavailable_error";
    default:
      return status >= 500 ? "server_error" : "invalid_request_error";
  }
}

}  // namespace

std::string HttpErrorBody(const HttpError& error) {
  using Json = nlohmann::ordered_json;
  Json object = {{"message", error.message},
                 {"type", error.type.empty() ? TypeOf(error.status) : error.type},
                 {"code", error.status}};
  object.update(error.details);
  return Json{{"error", std::move(object)}}.dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace quern
