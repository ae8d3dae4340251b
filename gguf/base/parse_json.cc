#include "gguf/base/parse_json.h"

#include <algorithm>
#include <string>

#include "gguf/base/printable.h"

namespace quern {
namespace {

constexpr size_t kMaxLevels = 100;
/// Of values: each takes up to 40 bytes, however short its text.
constexpr size_t kMaxValues = 1'000'000;
/// Of a parser's message, which quotes what it has read of a string.
constexpr size_t kMaxMessageBytes = 200;

struct Extent {
  size_t levels = 0;
  size_t values = 1;
};

/// The deepest level of brackets outside of strings, and how many values the brackets and commas
/// make. Of JSON these are its own, and of anything else no parser makes more.
Extent ExtentOf(std::string_view text) {
  Extent extent;
  size_t level = 0;
  bool in_string = false;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (in_string) {
      if (c == '\\') {
        ++i;
      } else if (c == '"') {
        in_string = false;
      }
    } else if (c == '"') {
      in_string = true;
    } else if (c == '[' || c == '{') {
      extent.levels = std::max(extent.levels, ++level);
      ++extent.values;
    } else if (c == ',') {
      ++extent.values;
    } else if ((c == ']' || c == '}') && level > 0) {
      --level;
    }
  }
  return extent;
}

}  // namespace

Result<nlohmann::json> ParseJson(std::string_view text) {
  const Extent extent = ExtentOf(text);
  if (extent.levels > kMaxLevels) {
    return Fail(ErrorCode::kInvalidArgument,
                "the body has lists and objects in {} levels, at most {} are allowed",
                extent.levels, kMaxLevels);
  }
  if (extent.values > kMaxValues) {
    return Fail(ErrorCode::kInvalidArgument, "the body has {} values, at most {} are allowed",
                extent.values, kMaxValues);
  }
  try {
    return nlohmann::json::parse(text);
  } catch (const nlohmann::json::exception& error) {
    std::string_view message = error.what();
    message.remove_prefix(std::min(message.find("] ") + 2, message.size()));  // its number
    return Fail(ErrorCode::kInvalidArgument, "the body is not JSON: {}",
                Printable(message, kMaxMessageBytes));
  }
}

Result<nlohmann::json> ParseJsonObject(std::string_view text) {
  Result<nlohmann::json> json = ParseJson(text);
  if (json && !json->is_object()) {
    return Fail(ErrorCode::kInvalidArgument, "the body is JSON, expected an object");
  }
  return json;
}

}  // namespace quern
