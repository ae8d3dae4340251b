// The SHA-256 of a file.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "gguf/base/result.h"

namespace quern {

/// 64 lower-case hexadecimal digits. `progress` gets the bytes read so far, now and then. Errors:
/// kNotFound, kIo.
Result<std::string> Sha256OfFile(const std::string& path,
                                 const std::function<void(uint64_t)>& progress = {});

}  // namespace quern
