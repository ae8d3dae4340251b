// A token's id: its row in the vocabulary.
#pragma once

#include <cstdint>

namespace quern {

using Token = int32_t;

}  // namespace quern
