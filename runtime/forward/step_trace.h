// What each thread did when in forward passes: the source of profiles and trace files.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

namespace quern {

/// The parts of a forward pass.
enum class StepOp : uint8_t {
  kEmbed,
  kPrepare,  ///< RMSNorm, and rounding what it gives for the products
  kAttnQkv,
  kRope,       ///< and writing K and V to the cache
  kAttention,  ///< and rounding it
  kAttnOutput,
  kFfnGateUp,  ///< and SwiGLU, rounded
  kFfnDown,
  kOutput,
  kWait,    ///< at barriers
  kSample,  ///< between two passes, by whoever runs them
};
inline constexpr size_t kStepOps = 11;

/// "attn_qkv", as tensors are named where the part is one of them.
std::string_view NameOf(StepOp op);

class StepTrace {
 public:
  using Clock = std::chrono::steady_clock;
  static constexpr int kNoLayer = -1;

  struct Span {
    StepOp op;
    int layer;  ///< kNoLayer before the first and after the last
    Clock::time_point begin;
    Clock::time_point end;
  };

  explicit StepTrace(int n_threads) : threads_(static_cast<size_t>(n_threads)) {}

  int n_threads() const { return static_cast<int>(threads_.size()); }
  /// In order of time, without gaps inside a step.
  std::span<const Span> spans(int thread) const {
    return threads_[static_cast<size_t>(thread)].spans;
  }

  /// Ends what the thread did and begins `op`. Threads may call at once, each for itself.
  void Begin(int thread, StepOp op, int layer);
  /// Ends what the thread did.
  void End(int thread);

 private:
  struct alignas(64) Thread {  // a cache line each: they write all the time
    std::vector<Span> spans;
    bool is_open = false;
  };
  std::vector<Thread> threads_;
};

}  // namespace quern
