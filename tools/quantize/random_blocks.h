// Random weights made directly in the storage of a tensor type, for models of given shapes and
// speed, not of sense.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "gguf/ggml_type.h"

namespace quern {

/// A well-mixed 64-bit value of `counter` (splitmix64's finalizer, public domain): random numbers
/// by position, so that any part of a tensor can be made by any thread.
uint64_t RandomBits(uint64_t seed, uint64_t counter);

/// Whether FillRandomBlocks knows the type: it knows all that Quern runs.
bool CanFillRandomBlocks(GgmlType type);

/// Fills `blocks` (whole blocks of such a type) with random valid blocks whose weights have mean 0
/// and standard deviation `sigma`. Block i of the span is block `first_block + i` of the stream
/// that `seed` names. Quantized codes are uniform; block scales are the same in all blocks,
/// sub-block scales are random.
void FillRandomBlocks(GgmlType type, double sigma, uint64_t seed, uint64_t first_block,
                      std::span<std::byte> blocks);

}  // namespace quern
