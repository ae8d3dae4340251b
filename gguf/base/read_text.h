// Reads a whole text input of a command: a file, or stdin.
#pragma once

#include <string>

#include "gguf/base/result.h"

namespace quern {

/// All bytes of the file at `path`; "-" is stdin. Errors: kNotFound, kIo.
Result<std::string> ReadText(const std::string& path);

}  // namespace quern
