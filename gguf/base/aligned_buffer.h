// Uninitialised memory on a 64-byte boundary, as the kernels want it.
#pragma once

#include <cstddef>
#include <cstdlib>
#include <memory>
#include <new>

namespace quern {

/// `size` elements of a trivial type; pages become resident when they are first written.
template <typename T>
class AlignedBuffer {
 public:
  AlignedBuffer() = default;
  explicit AlignedBuffer(size_t size) : size_(size) {
    constexpr size_t kAlignment = 64;
    const size_t bytes = (size * sizeof(T) + kAlignment - 1) / kAlignment * kAlignment;
    memory_.reset(static_cast<T*>(std::aligned_alloc(kAlignment, bytes == 0 ? kAlignment : bytes)));
    if (memory_ == nullptr) throw std::bad_alloc();
  }

  T* data() { return memory_.get(); }
  const T* data() const { return memory_.get(); }
  size_t size() const { return size_; }

 private:
  struct Free {
    void operator()(T* memory) const { std::free(memory); }
  };
  std::unique_ptr<T[], Free> memory_;
  size_t size_ = 0;
};

}  // namespace quern
