// JSON from strangers.
#pragma once

#include <nlohmann/json.hpp>
#include <string_view>

#include "gguf/base/result.h"

namespace quern {

/// Errors: kInvalidArgument for what is no JSON, for lists and objects in more than 100 levels,
/// since copying and printing a value goes down its levels on the stack, and for more than a
/// million values, since each takes more memory than its text. The last of two equal keys holds.
Result<nlohmann::json> ParseJson(std::string_view text);

/// The body of a request, which is an object. Errors: those of ParseJson; kInvalidArgument for any
/// other value.
Result<nlohmann::json> ParseJsonObject(std::string_view text);

}  // namespace quern
