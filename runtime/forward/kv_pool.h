// All KV-cache memory of an engine, in pages of kPageTokens tokens, with reference counts.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "gguf/base/result.h"
#include "kernels/attention.h"
#include "runtime/model/hparams.h"

namespace quern {

inline size_t PagesFor(size_t n_tokens) {
  return n_tokens / kPageTokens + (n_tokens % kPageTokens == 0 ? 0 : 1);
}

/// A page holds K and V of every layer and KV head for its tokens. Memory is reserved at once and
/// becomes resident when a page is first written.
class KvPool {
 public:
  using PageId = uint32_t;

  /// Errors: kOutOfMemory with the bytes that were asked for.
  static Result<KvPool> Create(const HParams& hparams, KvTypes types, size_t n_pages);
  KvPool(KvPool&& other) noexcept;
  KvPool& operator=(KvPool&&) = delete;
  ~KvPool();

  KvTypes types() const { return types_; }
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
  /// Bytes from a page's start to the share of one KV head of one layer.
  size_t Offset(size_t layer, size_t head_kv) const {
    return (layer * n_head_kv_ + head_kv) * head_bytes_;
  }

 private:
  KvPool() = default;
  KvTypes types_;
  size_t n_head_kv_ = 0;
  size_t head_bytes_ = 0;
  size_t page_bytes_ = 0;
  size_t mapped_bytes_ = 0;
  std::byte* memory_ = nullptr;
  std::vector<PageId> free_;
  std::vector<uint32_t> references_;
};

}  // namespace quern
