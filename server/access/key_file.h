// Files of API keys.
#pragma once

#include <string>
#include <vector>

#include "gguf/base/result.h"
#include "server/access/api_key.h"

namespace quern {

/// A key a line: as ApiKey::Parse has it, or, as llama-server's files have them, the key itself,
/// whose name is then `line-N`. Blank lines and those that begin with `#` are passed over. Errors:
/// kNotFound, kIo; kInvalidArgument naming file and line, and for a file without a key.
Result<std::vector<ApiKey>> ReadKeyFile(const std::string& path);

/// Adds a line to the file, which is made, for its owner alone, where there is none. Errors: those
/// of ReadKeyFile but for a file without a key; kInvalidArgument when it has a key of that name;
/// kIo.
Status AppendToKeyFile(const std::string& path, const ApiKey& key);

}  // namespace quern
