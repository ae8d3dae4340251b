#include "runtime/forward/sequence.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "gguf/base/check.h"

namespace quern {

Sequence::Sequence(Sequence&& other) noexcept
    : pool_(other.pool_),
      tables_(std::exchange(other.tables_, {})),
      n_past_(std::exchange(other.n_past_, 0)) {}

Sequence::~Sequence() {
  if (!tables_.empty()) Truncate(0);
}

std::vector<PageSet> Sequence::pages() const {
  std::vector<PageSet> sets(n_pages(), PageSet(tables_.size()));
  for (size_t group = 0; group < tables_.size(); ++group) {
    for (size_t i = 0; i < sets.size(); ++i) sets[i][group] = tables_[group].pages[i];
  }
  return sets;
}

void Sequence::Append(size_t group, PageId page) {
  Table& table = tables_[group];
  if (page == kNoPage) {
    QUERN_DCHECK(table.n_given_back == table.pages.size());
    ++table.n_given_back;
  }
  table.pages.push_back(page);
  table.addresses.push_back(page == kNoPage ? nullptr : pool_->group(group).page(page));
}

bool Sequence::WritesToShared(size_t group) const {
  return n_past_ % kPageTokens != 0 &&
         pool_->group(group).references(tables_[group].pages[n_past_ / kPageTokens]) > 1;
}

size_t Sequence::PagesToReserve(size_t n_tokens) const {
  const size_t wanted = PagesFor(n_past_ + n_tokens);
  const size_t missing = wanted > n_pages() ? wanted - n_pages() : 0;
  for (size_t group = 0; group < tables_.size(); ++group) {
    if (WritesToShared(group)) return missing + 1;
  }
  return missing;
}

Status Sequence::Reserve(size_t n_tokens) {
  const size_t needed = PagesToReserve(n_tokens);
  if (needed > pool_->n_free()) {
    return Fail(ErrorCode::kOutOfMemory, "the KV cache has {} free pages, {} are needed",
                pool_->n_free(), needed);
  }
  const size_t wanted = PagesFor(n_past_ + n_tokens);
  for (size_t group = 0; group < tables_.size(); ++group) {
    if (WritesToShared(group)) MakeOwn(group, n_past_ / kPageTokens);
    while (tables_[group].pages.size() < wanted) Append(group, pool_->group(group).Allocate());
  }
  return {};
}

void Sequence::Adopt(std::span<const PageSet> pages) {
  QUERN_DCHECK(pages.size() <= n_pages());
  for (size_t i = 0; i < pages.size(); ++i) {
    for (size_t group = 0; group < tables_.size(); ++group) {
      const PageId page = pages[i][group];
      PageId& own = tables_[group].pages[i];
      // What either has given back is not exchanged.
      if (page == own || page == kNoPage || own == kNoPage) continue;
      pool_->group(group).AddReference(page);
      pool_->group(group).Release(own);
      own = page;
      tables_[group].addresses[i] = pool_->group(group).page(page);
    }
  }
}

void Sequence::MakeOwn(size_t group, size_t index) {
  PagePool& pool = pool_->group(group);
  Table& table = tables_[group];
  const PageId own = pool.Allocate();
  std::memcpy(pool.page(own), table.addresses[index], pool.page_bytes());
  pool.Release(table.pages[index]);
  table.pages[index] = own;
  table.addresses[index] = pool.page(own);
}

void Sequence::Share(std::span<const PageSet> pages) {
  QUERN_DCHECK(n_pages() == 0);
  for (const PageSet& set : pages) {
    pool_->AddReference(set);
    for (size_t group = 0; group < tables_.size(); ++group) Append(group, set[group]);
  }
  n_past_ = pages.size() * kPageTokens;
}

void Sequence::Advance(size_t n_tokens) {
  n_past_ += n_tokens;
  GiveBackBehindWindows();
}

void Sequence::GiveBackBehindWindows() {
  for (size_t group = 0; group < tables_.size(); ++group) {
    Table& table = tables_[group];
    for (size_t& i = table.n_given_back; i < pool_->layout().groups[group].FirstNeeded(n_past_);
         ++i) {
      pool_->group(group).Release(table.pages[i]);
      table.pages[i] = kNoPage;
      table.addresses[i] = nullptr;
    }
  }
}

bool Sequence::CanReturnTo(size_t n_past) const {
  for (size_t group = 0; group < tables_.size(); ++group) {
    if (tables_[group].n_given_back > pool_->layout().groups[group].FirstNeeded(n_past))
      return false;
  }
  return true;
}

size_t Sequence::Truncate(size_t n_past) {
  n_past_ = CanReturnTo(n_past) ? std::min(n_past, n_past_) : 0;
  for (size_t group = 0; group < tables_.size(); ++group) {
    Table& table = tables_[group];
    while (table.pages.size() > PagesFor(n_past_)) {
      if (table.pages.back() != kNoPage) pool_->group(group).Release(table.pages.back());
      table.pages.pop_back();
      table.addresses.pop_back();
    }
    table.n_given_back = std::min(table.n_given_back, table.pages.size());
  }
  return n_past_;
}

}  // namespace quern
