// Numbers as people read them: sizes, counts, bits per weight.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace quern {

/// "4.58 GiB", "21.0 MiB", "512 B": three digits of the largest unit that gives at least 1.
std::string FormatBytes(uint64_t bytes);

/// "8.03 B", "5.51 M", "512": three digits of thousands, millions, billions.
std::string FormatCount(uint64_t count);

/// "128,256"
std::string FormatThousands(uint64_t number);

/// "1 key", "128,256 keys".
std::string Counted(uint64_t count, std::string_view what);

/// 0 without weights.
double BitsPerWeight(uint64_t bytes, uint64_t n_weights);

}  // namespace quern
