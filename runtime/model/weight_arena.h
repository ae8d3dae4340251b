// One block of memory for all packed weights of a model, in huge pages where the machine has them.
#pragma once

#include <cstddef>
#include <span>

#include "gguf/base/result.h"

namespace quern {

/// Hands out 64-byte aligned pieces in order; all of them live as long as the arena.
class WeightArena {
 public:
  /// Errors: kOutOfMemory with the bytes asked for.
  static Result<WeightArena> Create(size_t bytes);
  WeightArena(WeightArena&& other) noexcept;
  WeightArena& operator=(WeightArena&&) = delete;
  ~WeightArena();

  /// Bytes that `Allocate(bytes)` uses up.
  static size_t Rounded(size_t bytes) { return (bytes + kAlignment - 1) / kAlignment * kAlignment; }
  std::byte* Allocate(size_t bytes);
  std::span<const std::byte> bytes() const { return {memory_, size_}; }

 private:
  static constexpr size_t kAlignment = 64;
  WeightArena() = default;
  void* mapping_ = nullptr;
  size_t mapped_bytes_ = 0;
  std::byte* memory_ = nullptr;
  size_t size_ = 0;
  size_t used_ = 0;
};

}  // namespace quern
