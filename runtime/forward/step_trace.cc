#include "runtime/forward/step_trace.h"

#include <array>

namespace quern {

std::string_view NameOf(StepOp op) {
  constexpr std::array<std::string_view, kStepOps> kNames = {
      "embed",       "norm",     "attn_qkv", "rope", "attention", "attn_output",
      "ffn_gate_up", "ffn_down", "output",   "wait", "sample"};
  return kNames.at(static_cast<size_t>(op));
}

void StepTrace::Begin(int thread, StepOp op, int layer) {
  Thread& own = threads_[static_cast<size_t>(thread)];
  const Clock::time_point now = Clock::now();
  if (own.is_open) own.spans.back().end = now;
  own.spans.push_back({op, layer, now, now});
  own.is_open = true;
}

void StepTrace::End(int thread) {
  Thread& own = threads_[static_cast<size_t>(thread)];
  if (own.is_open) own.spans.back().end = Clock::now();
  own.is_open = false;
}

}  // namespace quern
