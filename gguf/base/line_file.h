// Reading files that operators write a line at a time.
#pragma once

#include <cstddef>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "gguf/base/result.h"

namespace quern {

/// What stands between blanks.
std::vector<std::string_view> WordsOf(std::string_view line);

/// Takes a line without the blanks around it, and its number, counted from 1.
using TakeLine = std::function<Status(std::string_view line, size_t number)>;

/// Hands out the lines of the file, but for blank ones and those that begin with `#`. Errors:
/// kNotFound and kIo, which call the file `what`; that of `take`, naming file and line.
Status ReadLines(const std::string& path, std::string_view what, const TakeLine& take);

}  // namespace quern
