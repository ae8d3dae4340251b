// The sampling parameters that a model file recommends.
#pragma once

#include "gguf/base/result.h"
#include "gguf/gguf_file.h"
#include "runtime/engine/sampler.h"

namespace quern {

/// Our defaults, with what the file's general.sampling.* keys set (temp, top_k, top_p, min_p,
/// penalty_repeat, penalty_last_n; other samplers are ignored). Errors: kCorruptFile names the key
/// whose value has the wrong type or is out of range.
Result<SamplingParams> RecommendedSampling(const GgufFile& file);

}  // namespace quern
