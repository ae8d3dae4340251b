#include "runtime/forward/kv_pool.h"

#include <sys/mman.h>

#include <limits>
#include <utility>

#include "gguf/base/check.h"

namespace quern {

Result<KvPool> KvPool::Create(const HParams& hparams, KvTypes types, size_t n_pages) {
  KvPool pool;
  pool.types_ = types;
  pool.n_head_kv_ = hparams.n_head_kv;
  pool.head_bytes_ = KvHeadPageBytes(types, hparams.head_dim);
  pool.page_bytes_ = pool.head_bytes_ * hparams.n_head_kv * hparams.n_layer;
  constexpr size_t kMostPages = std::numeric_limits<PageId>::max();
  if (n_pages == 0 || n_pages > kMostPages ||
      __builtin_mul_overflow(pool.page_bytes_, n_pages, &pool.mapped_bytes_)) {
    return Fail(ErrorCode::kOutOfMemory,
                "a KV cache of {} pages of {} bytes: expected 1 to {} pages", n_pages,
                pool.page_bytes_, kMostPages);
  }
  void* memory = mmap(nullptr, pool.mapped_bytes_, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) {
    return Fail(ErrorCode::kOutOfMemory, "cannot reserve {} MiB for a KV cache of {} tokens",
                pool.mapped_bytes_ >> 20, n_pages * kPageTokens);
  }
  pool.memory_ = static_cast<std::byte*>(memory);
  madvise(memory, pool.mapped_bytes_, MADV_DONTFORK);  // as WeightArena
  pool.references_.assign(n_pages, 0);
  pool.free_.reserve(n_pages);
  // Handed out from the back: low pages first, so that a short run touches little memory.
  for (size_t page = n_pages; page-- > 0;) pool.free_.push_back(static_cast<PageId>(page));
  return pool;
}

KvPool::KvPool(KvPool&& other) noexcept
    : types_(other.types_),
      n_head_kv_(other.n_head_kv_),
      head_bytes_(other.head_bytes_),
      page_bytes_(other.page_bytes_),
      mapped_bytes_(other.mapped_bytes_),
      memory_(std::exchange(other.memory_, nullptr)),
      free_(std::move(other.free_)),
      references_(std::move(other.references_)) {}

KvPool::~KvPool() {
  if (memory_ != nullptr) munmap(memory_, mapped_bytes_);
}

KvPool::PageId KvPool::Allocate() {
  QUERN_DCHECK(!free_.empty());
  const PageId page = free_.back();
  free_.pop_back();
  references_[page] = 1;
  return page;
}

void KvPool::AddReference(PageId page) {
  QUERN_DCHECK(references_[page] > 0);
  ++references_[page];
}

void KvPool::Release(PageId page) {
  QUERN_DCHECK(references_[page] > 0);
  if (--references_[page] == 0) free_.push_back(page);
}

}  // namespace quern
