// Turns the signal of a mapped file that became shorter into one clear line and exit code 1.
#pragma once

#include <cstddef>
#include <span>
#include <string>

namespace quern {

/// Reading beyond the new end of a file that shrank while it was mapped raises SIGBUS, in whatever
/// thread and code reads. There is no way back from there, so the process ends, as it would anyway,
/// but says why: "error: PATH: became shorter while it was read". Any other SIGBUS goes where it
/// went before. The first call installs the handler.
void WatchMapping(std::span<const std::byte> mapping, const std::string& shown_path);

/// Ends what WatchMapping began; `mapping` is the same.
void UnwatchMapping(std::span<const std::byte> mapping);

}  // namespace quern
