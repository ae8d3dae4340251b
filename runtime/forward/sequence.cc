#include "runtime/forward/sequence.h"

#include <cstring>
#include <utility>

#include "gguf/base/check.h"

namespace quern {
Sequence::Sequence(Sequence&& other) noexcept
    : pool_(other.pool_),
      pages_(std::exchange(other.pages_, {})),
      table_(std::exchange(other.table_, {})),
      n_past_(std::exchange(other.n_past_, 0)) {}

Sequence::~Sequence() { Truncate(0); }

void Sequence::Append(KvPool::PageId page) {
  pages_.push_back(page);
  table_.push_back(pool_->page(page));
}

bool Sequence::WritesToShared() const {
  return n_past_ % kPageTokens != 0 && pool_->references(pages_[n_past_ / kPageTokens]) > 1;
}

size_t Sequence::PagesToReserve(size_t n_tokens) const {
  const size_t wanted = PagesFor(n_past_ + n_tokens);
  const size_t missing = wanted > pages_.size() ? wanted - pages_.size() : 0;
  return missing + (WritesToShared() ? 1 : 0);
}

Status Sequence::Reserve(size_t n_tokens) {
  const size_t needed = PagesToReserve(n_tokens);
  if (needed > pool_->n_free()) {
    return Fail(ErrorCode::kOutOfMemory, "the KV cache has {} free pages, {} are needed",
                pool_->n_free(), needed);
  }
  if (WritesToShared()) MakeOwn(n_past_ / kPageTokens);
  while (pages_.size() < PagesFor(n_past_ + n_tokens)) Append(pool_->Allocate());
  return {};
}

void Sequence::Adopt(std::span<const KvPool::PageId> pages) {
  QUERN_DCHECK(pages.size() <= pages_.size());
  for (size_t i = 0; i < pages.size(); ++i) {
    if (pages[i] == pages_[i]) continue;
    pool_->AddReference(pages[i]);
    pool_->Release(pages_[i]);
    pages_[i] = pages[i];
    table_[i] = pool_->page(pages[i]);
  }
}

void Sequence::MakeOwn(size_t index) {
  const KvPool::PageId own = pool_->Allocate();
  std::memcpy(pool_->page(own), table_[index], pool_->page_bytes());
  pool_->Release(pages_[index]);
  pages_[index] = own;
  table_[index] = pool_->page(own);
}

void Sequence::Share(std::span<const KvPool::PageId> pages) {
  QUERN_DCHECK(pages_.empty());
  for (const KvPool::PageId page : pages) {
    pool_->AddReference(page);
    Append(page);
  }
  n_past_ = pages.size() * kPageTokens;
}

void Sequence::Truncate(size_t n_past) {
  n_past_ = n_past;
  while (pages_.size() > PagesFor(n_past)) {
    pool_->Release(pages_.back());
    pages_.pop_back();
    table_.pop_back();
  }
}

}  // namespace quern
