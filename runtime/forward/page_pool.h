// Pages of one size in one piece of memory, with reference counts.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <vector>

#include "gguf/base/result.h"

namespace quern {

using PageId = uint32_t;
inline constexpr PageId kNoPage = std::numeric_limits<PageId>::max();

/// Memory is reserved at once and becomes resident when a page is first written.
class PagePool {
 public:
  /// Errors: kOutOfMemory with the bytes that were asked for.
  static Result<PagePool> Create(size_t page_bytes, size_t n_pages);
  PagePool(PagePool&& other) noexcept;
  PagePool& operator=(PagePool&&) = delete;
  ~PagePool();

  size_t n_pages() const { return references_.size(); }
  size_t n_free() const { return free_.size(); }
  size_t page_bytes() const { return page_bytes_; }

  /// A free page with one reference. Call only while n_free() > 0.
  PageId Allocate();
  void AddReference(PageId page);
  uint32_t references(PageId page) const { return references_[page]; }
  /// Gives the page back when the last reference goes.
  void Release(PageId page);

  std::byte* page(PageId page) { return memory_ + page * page_bytes_; }

 private:
  PagePool() = default;
  size_t page_bytes_ = 0;
  size_t mapped_bytes_ = 0;
  std::byte* memory_ = nullptr;
  std::vector<PageId> free_;
  std::vector<uint32_t> references_;
};

}  // namespace quern
