#include "runtime/model/weight_arena.h"

#include <sys/mman.h>

#include <cstdint>
#include <utility>

#include "gguf/base/check.h"

namespace quern {
namespace {

constexpr size_t kHugePage = size_t{2} << 20;

}  // namespace

Result<WeightArena> WeightArena::Create(size_t bytes) {
  WeightArena arena;
  arena.size_ = bytes;
  arena.mapped_bytes_ = bytes + kHugePage;
  void* mapping = mmap(nullptr, arena.mapped_bytes_, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (mapping == MAP_FAILED) {
    return Fail(ErrorCode::kOutOfMemory, "cannot reserve {} MiB for weights", bytes >> 20);
  }
  arena.mapping_ = mapping;
  const auto address = reinterpret_cast<uintptr_t>(mapping);
  const size_t skip = (kHugePage - address % kHugePage) % kHugePage;
  arena.memory_ = static_cast<std::byte*>(mapping) + skip;
  // The sandbox of chat templates needs no weights, and forking is quick without them.
  madvise(mapping, arena.mapped_bytes_, MADV_DONTFORK);
  // A hint: where huge pages are switched off, small ones serve.
  madvise(arena.memory_, bytes, MADV_HUGEPAGE);
  return arena;
}

WeightArena::WeightArena(WeightArena&& other) noexcept
    : mapping_(std::exchange(other.mapping_, nullptr)),
      mapped_bytes_(other.mapped_bytes_),
      memory_(other.memory_),
      size_(other.size_),
      used_(other.used_) {}

WeightArena::~WeightArena() {
  if (mapping_ != nullptr) munmap(mapping_, mapped_bytes_);
}

std::byte* WeightArena::Allocate(size_t bytes) {
  std::byte* piece = memory_ + used_;
  used_ += Rounded(bytes);
  QUERN_DCHECK(used_ <= size_);
  return piece;
}

}  // namespace quern
