#include "runtime/engine/prefix_cache.h"

#include <algorithm>
#include <iterator>

namespace quern {

PrefixCache::~PrefixCache() {
  for (const Entry& entry : entries_) pool_->Release(entry.page);
}

PrefixCache::Entries::iterator PrefixCache::Lookup(uint64_t parent, std::span<const Token> tokens) {
  const auto found = by_key_.find({parent, {tokens.begin(), tokens.end()}});
  return found == by_key_.end() ? entries_.end() : found->second;
}

std::vector<KvPool::PageId> PrefixCache::Find(std::span<const Token> prompt) {
  std::vector<KvPool::PageId> pages;
  std::vector<Entries::iterator> path;
  uint64_t parent = kRoot;
  // One token at least must run, for its logits.
  for (size_t at = 0; at + kPageTokens < prompt.size(); at += kPageTokens) {
    const auto entry = Lookup(parent, prompt.subspan(at, kPageTokens));
    if (entry == entries_.end()) break;
    pages.push_back(entry->page);
    path.push_back(entry);
    parent = entry->id;
  }
  MoveToFront(path);
  return pages;
}

std::vector<KvPool::PageId> PrefixCache::Keep(std::span<const Token> tokens,
                                              std::span<const KvPool::PageId> pages) {
  uint64_t parent = kRoot;
  std::vector<Entries::iterator> path;
  for (size_t i = 0; (i + 1) * kPageTokens <= tokens.size(); ++i) {
    const std::span<const Token> own = tokens.subspan(i * kPageTokens, kPageTokens);
    auto entry = Lookup(parent, own);
    if (entry == entries_.end()) {
      pool_->AddReference(pages[i]);
      entries_.push_front({next_id_++, {parent, {own.begin(), own.end()}}, pages[i]});
      entry = entries_.begin();
      by_key_[entry->key] = entry;
      by_id_[entry->id] = entry;
      if (parent != kRoot) ++by_id_[parent]->n_children;
    }
    path.push_back(entry);
    parent = entry->id;
  }
  MoveToFront(path);
  std::vector<KvPool::PageId> kept;
  kept.reserve(path.size());
  for (const Entries::iterator& entry : path) kept.push_back(entry->page);
  return kept;
}

void PrefixCache::MoveToFront(std::span<const Entries::iterator> path) {
  // From the leaf up, so that each parent ends before its child.
  while (!path.empty()) {
    entries_.splice(entries_.begin(), entries_, path.back());
    path = path.first(path.size() - 1);
  }
}

size_t PrefixCache::n_evictable() const {
  // A sequence that uses a page uses its parents too, so no other page stands in the way of these.
  return static_cast<size_t>(
      std::count_if(entries_.begin(), entries_.end(),
                    [this](const Entry& entry) { return pool_->references(entry.page) == 1; }));
}

void PrefixCache::MakeRoom(size_t n_pages) {
  for (auto entry = entries_.end(); entry != entries_.begin() && pool_->n_free() < n_pages;) {
    const auto candidate = std::prev(entry);
    if (candidate->n_children == 0 && pool_->references(candidate->page) == 1) {
      Forget(candidate);
      // A parent stands before its child, so going on from here finds it next.
    } else {
      entry = candidate;
    }
  }
}

void PrefixCache::Forget(Entries::iterator entry) {
  const uint64_t parent = entry->key.first;
  if (parent != kRoot) --by_id_[parent]->n_children;
  pool_->Release(entry->page);
  by_key_.erase(entry->key);
  by_id_.erase(entry->id);
  entries_.erase(entry);
}

}  // namespace quern
