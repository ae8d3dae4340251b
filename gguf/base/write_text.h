// Writes a whole text file.
#pragma once

#include <string>
#include <string_view>

#include "gguf/base/result.h"

namespace quern {

/// The file at `path`, of which what was there stays until all of `text` is on the disk. Errors:
/// those of OutputFile.
Status WriteText(const std::string& path, std::string_view text);

}  // namespace quern
