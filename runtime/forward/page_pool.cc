#include "runtime/forward/page_pool.h"

#include <sys/mman.h>

#include <utility>

#include "gguf/base/check.h"

namespace quern {

Result<PagePool> PagePool::Create(size_t page_bytes, size_t n_pages) {
  PagePool pool;
  pool.page_bytes_ = page_bytes;
  constexpr size_t kMostPages = kNoPage;
  if (n_pages == 0 || n_pages > kMostPages ||
      __builtin_mul_overflow(page_bytes, n_pages, &pool.mapped_bytes_)) {
    return Fail(ErrorCode::kOutOfMemory,
                "a KV cache of {} pages of {} bytes: expected 1 to {} pages", n_pages, page_bytes,
                kMostPages);
  }
  void* memory = mmap(nullptr, pool.mapped_bytes_, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) {
    return Fail(ErrorCode::kOutOfMemory, "cannot reserve {} MiB for a KV cache of {} pages",
                pool.mapped_bytes_ >> 20, n_pages);
  }
  pool.memory_ = static_cast<std::byte*>(memory);
  madvise(memory, pool.mapped_bytes_, MADV_DONTFORK);  // as WeightArena
  pool.references_.assign(n_pages, 0);
  pool.free_.reserve(n_pages);
  // Handed out from the back: low pages first, so that a short run touches little memory.
  for (size_t page = n_pages; page-- > 0;) pool.free_.push_back(static_cast<PageId>(page));
  return pool;
}

PagePool::PagePool(PagePool&& other) noexcept
    : page_bytes_(other.page_bytes_),
      mapped_bytes_(other.mapped_bytes_),
      memory_(std::exchange(other.memory_, nullptr)),
      free_(std::move(other.free_)),
      references_(std::move(other.references_)) {}

PagePool::~PagePool() {
  if (memory_ != nullptr) munmap(memory_, mapped_bytes_);
}

PageId PagePool::Allocate() {
  QUERN_DCHECK(!free_.empty());
  const PageId page = free_.back();
  free_.pop_back();
  references_[page] = 1;
  return page;
}

void PagePool::AddReference(PageId page) {
  QUERN_DCHECK(references_[page] > 0);
  ++references_[page];
}

void PagePool::Release(PageId page) {
  QUERN_DCHECK(references_[page] > 0);
  if (--references_[page] == 0) free_.push_back(page);
}

}  // namespace quern
