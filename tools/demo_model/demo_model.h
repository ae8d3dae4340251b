// The demo model that is built into the executable.
#pragma once

#include <cstddef>
#include <span>

namespace quern {

/// A whole GGUF file, aligned to 64 bytes.
std::span<const std::byte> DemoModelBytes();

}  // namespace quern
