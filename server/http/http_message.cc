#include "server/http/http_message.h"

#include <algorithm>

#include "gguf/base/lower_ascii.h"

namespace quern {
namespace {

bool IsCalled(const HttpHeaders::Field& field, std::string_view name) {
  return field.first.size() == name.size() && LowerAscii(field.first) == LowerAscii(name);
}

}  // namespace

void HttpHeaders::Erase(std::string_view name) {
  std::erase_if(fields_, [&](const Field& field) { return IsCalled(field, name); });
}

size_t HttpHeaders::Count(std::string_view name) const {
  return static_cast<size_t>(std::count_if(
      fields_.begin(), fields_.end(), [&](const Field& field) { return IsCalled(field, name); }));
}

std::string HttpHeaders::Get(std::string_view name) const {
  const auto found = std::find_if(fields_.begin(), fields_.end(),
                                  [&](const Field& field) { return IsCalled(field, name); });
  return found != fields_.end() ? found->second : "";
}

std::vector<std::string> HttpHeaders::All(std::string_view name) const {
  std::vector<std::string> values;
  for (const Field& field : fields_) {
    if (IsCalled(field, name)) values.push_back(field.second);
  }
  return values;
}

std::string HttpRequest::Parameter(const std::string& name) const {
  const auto found = parameters.find(name);
  return found != parameters.end() ? found->second : "";
}

}  // namespace quern
