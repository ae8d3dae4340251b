// Whether a disk has room for what is about to come.
#pragma once

#include <cstdint>
#include <string>

#include "gguf/base/result.h"

namespace quern {

/// Error: kIo, with both numbers, when the file system of `folder` has less than `n_bytes` free.
/// One that does not tell is taken at its word when it is full.
Status CheckDiskSpace(const std::string& folder, uint64_t n_bytes);

}  // namespace quern
