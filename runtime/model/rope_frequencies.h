// The angles of RoPE from metadata and file: base, and the scaling that stretches a context.
#pragma once

#include <cstdint>
#include <vector>

#include "runtime/model/hparams_reader.h"

namespace quern {

/// Radians per position of each of n_rot/2 pairs: base^(-2i/n_rot), then the scaling that
/// rope.scaling.* and the tensor rope_freqs.weight ask for. Errors stick to the reader:
/// kUnsupported for a scaling that Quern does not know.
std::vector<double> ReadRopeFrequencies(HParamsReader& reader, uint32_t n_rot);

}  // namespace quern
