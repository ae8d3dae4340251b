#include "server/api/json_fields.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "runtime/text/token.h"

namespace quern {
namespace {

using nlohmann::json;

/// Of a value in an error message.
constexpr size_t kMostFoundBytes = 60;

bool IsText(const json& value) { return value.is_string(); }

}  // namespace

bool AsksForNothing(const json& value, const std::vector<json>& nothing) {
  return value.is_null() || (value.is_structured() && value.empty()) ||
         std::find(nothing.begin(), nothing.end(), value) != nothing.end();
}

bool IsTokenId(const json& value) {
  return value.is_number_integer() && value >= 0 && value <= std::numeric_limits<Token>::max();
}

const json& JsonFields::Get(const char* name) const {
  static const json kNull;
  const auto at = object_.find(name);
  return at == object_.end() ? kNull : *at;
}

bool JsonFields::Has(const char* name) const { return !Get(name).is_null(); }

void JsonFields::Bool(const char* name, bool* value) {
  if (!status_ || !Has(name)) return;
  if (!Get(name).is_boolean()) return Fail(name, Get(name), "true or false");
  *value = Get(name).get<bool>();
}

void JsonFields::Text(const char* name, std::string* value) {
  if (!status_ || !Has(name)) return;
  if (!Get(name).is_string()) return Fail(name, Get(name), "a text");
  *value = Get(name).get<std::string>();
}

void JsonFields::Texts(const char* name, size_t most, std::vector<std::string>* value) {
  if (!status_ || !Has(name)) return;
  const json& found = Get(name);
  if (found.is_string()) {
    *value = {found.get<std::string>()};
  } else if (found.is_array() && found.size() <= most &&
             std::all_of(found.begin(), found.end(), IsText)) {
    *value = found.get<std::vector<std::string>>();
  } else {
    Fail(name, found, fmt::format("a text or a list of at most {} texts", most));
  }
}

void JsonFields::Fail(std::string_view name, const json& found, std::string_view expected) {
  if (!status_) return;
  std::string text = found.dump(-1, ' ', false, json::error_handler_t::replace);
  if (text.size() > kMostFoundBytes) text = text.substr(0, kMostFoundBytes - 3) + "...";
  Fail(quern::Fail(ErrorCode::kInvalidArgument, "'{}' is {}, expected {}", name, text, expected));
}

void JsonFields::Fail(tl::unexpected<Error> error) {
  if (status_) status_ = std::move(error);
}

}  // namespace quern
