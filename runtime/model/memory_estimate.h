// What a model will take of memory, computed from its file alone.
#pragma once

#include <cstddef>
#include <cstdint>

#include "gguf/gguf_file.h"
#include "kernels/attention.h"
#include "runtime/model/hparams.h"

namespace quern {

struct MemoryEstimate {
  uint64_t weights = 0;
  uint64_t kv_cache = 0;
  uint64_t scratch = 0;
  uint64_t total() const { return weights + kv_cache + scratch; }
};

/// `n_ctx`: positions of the KV cache. `batch_rows`: most rows of a step.
MemoryEstimate EstimateMemory(const GgufFile& file, const HParams& hparams, size_t n_ctx,
                              KvTypes kv_types, size_t batch_rows);

}  // namespace quern
