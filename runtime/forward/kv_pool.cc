#include "runtime/forward/kv_pool.h"

#include <algorithm>
#include <utility>

namespace quern {

Result<KvPool> KvPool::Create(const HParams& hparams, KvTypes types, size_t n_pages) {
  KvPool pool(types, KvLayout::Of(hparams));
  pool.groups_.reserve(pool.layout_.groups.size());
  for (const KvGroup& group : pool.layout_.groups) {
    Result<PagePool> pages = PagePool::Create(group.page_bytes(types), n_pages);
    if (!pages) return Propagate(pages);
    pool.groups_.push_back(*std::move(pages));
  }
  return pool;
}

size_t KvPool::n_free() const {
  return std::ranges::min_element(groups_, {}, &PagePool::n_free)->n_free();
}

size_t KvPool::page_bytes() const {
  size_t bytes = 0;
  for (const PagePool& group : groups_) bytes += group.page_bytes();
  return bytes;
}

void KvPool::AddReference(const PageSet& pages) {
  for (size_t i = 0; i < pages.size(); ++i) {
    if (pages[i] != kNoPage) groups_[i].AddReference(pages[i]);
  }
}

void KvPool::Release(const PageSet& pages) {
  for (size_t i = 0; i < pages.size(); ++i) {
    if (pages[i] != kNoPage) groups_[i].Release(pages[i]);
  }
}

bool KvPool::IsUnshared(const PageSet& pages) const {
  for (size_t i = 0; i < pages.size(); ++i) {
    if (pages[i] != kNoPage && groups_[i].references(pages[i]) > 1) return false;
  }
  return true;
}

}  // namespace quern
