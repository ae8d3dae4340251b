// Lists of token ids as text: of the command line, and of files.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "gguf/base/result.h"
#include "runtime/text/token.h"

namespace quern {

/// Token ids apart by commas or white space, with or without brackets around them.
/// Errors: kInvalidArgument with what is no id.
Result<std::vector<Token>> ParseTokens(std::string_view text);

/// Reads such a file; "-" is stdin.
Result<std::vector<Token>> ReadTokensFile(const std::string& path);

}  // namespace quern
