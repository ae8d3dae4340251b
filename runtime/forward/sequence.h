// A sequence as the forward pass sees it: its KV pages and how many of their positions are filled.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "gguf/base/result.h"
#include "runtime/forward/kv_pool.h"

namespace quern {

/// Owns one reference to each of its pages. A page may be shared with other sequences once it is
/// full.
class Sequence {
 public:
  explicit Sequence(KvPool* pool) : pool_(pool) {}
  Sequence(Sequence&& other) noexcept;
  Sequence& operator=(Sequence&&) = delete;
  ~Sequence();

  size_t n_past() const { return n_past_; }
  std::span<const KvPool::PageId> pages() const { return pages_; }

  /// Free pages that Reserve(n_tokens) would take.
  size_t PagesToReserve(size_t n_tokens) const;

  /// Takes pages for `n_tokens` more, which may then be written. Errors: kOutOfMemory, and nothing
  /// is taken, when the pool has too few.
  Status Reserve(size_t n_tokens);

  /// Begins with full pages that another sequence computed; call it on an empty sequence.
  void Share(std::span<const KvPool::PageId> pages);

  /// Puts pages with the same contents in the place of its first ones.
  void Adopt(std::span<const KvPool::PageId> pages);

  /// Counts `n_tokens` whose K and V were written, or lets the pages behind `n_past` go.
  void Advance(size_t n_tokens) { n_past_ += n_tokens; }
  void Truncate(size_t n_past);

  /// Base address of each page: the page table of the attention kernels.
  std::byte* const* page_table() const { return table_.data(); }

 private:
  void Append(KvPool::PageId page);
  /// After Truncate the next page to write may be one that others read beyond n_past.
  bool WritesToShared() const;
  /// Puts a copy in the place of a shared page.
  void MakeOwn(size_t index);

  KvPool* pool_;
  std::vector<KvPool::PageId> pages_;
  std::vector<std::byte*> table_;
  size_t n_past_ = 0;
};

}  // namespace quern
