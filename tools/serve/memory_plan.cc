#include "tools/serve/memory_plan.h"

#include <algorithm>

#include "gguf/base/format_number.h"

namespace quern {

Result<MemoryPlan> PlanMemory(const GgufFile& file, const HParams& hparams, const MemoryWish& wish,
                              uint64_t available) {
  const auto estimate = [&](size_t kv_tokens) {
    return EstimateMemory(file, hparams, kv_tokens, wish.kv_types, wish.batch_rows);
  };
  if (wish.kv_tokens > 0 && wish.kv_tokens < wish.n_ctx) {
    return Fail(ErrorCode::kInvalidArgument,
                "a KV cache of {} tokens (--kv-tokens), expected at least the {} of a request (-c)",
                wish.kv_tokens, wish.n_ctx);
  }
  MemoryPlan plan;
  plan.available = available;
  plan.kv_tokens = std::max(wish.kv_tokens, wish.n_ctx);
  plan.estimate = estimate(plan.kv_tokens);
  if (available == 0) return plan;
  if (plan.estimate.total() > available) {
    return Fail(ErrorCode::kOutOfMemory,
                "the model takes {} ({} of weights, {} of KV cache for {} tokens, {} to work), and "
                "{} of memory are available: a smaller model or context (-c) would fit",
                FormatBytes(plan.estimate.total()), FormatBytes(plan.estimate.weights),
                FormatBytes(plan.estimate.kv_cache), plan.kv_tokens,
                FormatBytes(plan.estimate.scratch), FormatBytes(available));
  }
  if (wish.kv_tokens > 0) return plan;

  const uint64_t left = available - plan.estimate.weights - plan.estimate.scratch;
  const uint64_t per_page = estimate(1).kv_cache;
  const auto for_cache = static_cast<uint64_t>(static_cast<double>(left) * wish.kv_share);
  const size_t fit = for_cache / per_page * kPageTokens;
  plan.kv_tokens = std::max(wish.n_ctx, std::min(wish.n_ctx * wish.n_parallel, fit));
  plan.estimate = estimate(plan.kv_tokens);
  return plan;
}

}  // namespace quern
