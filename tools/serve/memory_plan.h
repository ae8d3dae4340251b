// How large a server's KV cache may be on this machine, and whether its model fits at all.
#pragma once

#include <cstddef>
#include <cstdint>

#include "gguf/base/result.h"
#include "gguf/gguf_file.h"
#include "kernels/attention.h"
#include "runtime/model/hparams.h"
#include "runtime/model/memory_estimate.h"

namespace quern {

struct MemoryPlan {
  size_t kv_tokens = 0;     ///< positions of the KV cache, for all requests together
  MemoryEstimate estimate;  ///< with that cache full
  uint64_t available = 0;   ///< bytes that can be had; 0: not known
};

struct MemoryWish {
  size_t n_ctx = 0;       ///< tokens of one request, which must fit
  size_t n_parallel = 1;  ///< requests that run together
  size_t kv_tokens = 0;   ///< 0: what n_parallel full requests take, or as much as kv_share of the
                          ///< memory that the model leaves
  KvTypes kv_types{};
  size_t batch_rows = 512;  ///< most rows of a step
  double kv_share = 0.5;
};

/// Errors: kInvalidArgument for a cache that holds less than one request; kOutOfMemory, with all
/// sizes, when the model and one full request do not fit.
Result<MemoryPlan> PlanMemory(const GgufFile& file, const HParams& hparams, const MemoryWish& wish,
                              uint64_t available);

}  // namespace quern
