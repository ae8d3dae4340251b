#include "runtime/engine/prefix_cache.h"

#include <algorithm>
#include <iterator>
#include <utility>

namespace quern {

PrefixCache::~PrefixCache() {
  for (const Entry& entry : entries_) pool_->Release(entry.pages);
}

PrefixCache::Key PrefixCache::KeyOf(uint64_t parent, const PrefixRows& rows, size_t index,
                                    std::span<const VectorDigest>& vectors) {
  const std::span<const Token> own = rows.tokens.subspan(index * kPageTokens, kPageTokens);
  const auto n_vectors = static_cast<size_t>(std::ranges::count(own, PrefixRows::kVector));
  const std::span<const VectorDigest> own_vectors = vectors.first(n_vectors);
  vectors = vectors.subspan(n_vectors);
  return {.parent = parent,
          .tokens = {own.begin(), own.end()},
          .vectors = {own_vectors.begin(), own_vectors.end()}};
}

PrefixCache::Entries::iterator PrefixCache::Lookup(const Key& key) {
  const auto found = by_key_.find(key);
  return found == by_key_.end() ? entries_.end() : found->second;
}

bool PrefixCache::IsUsable(std::span<const PageSet> pages) const {
  const size_t n_past = pages.size() * kPageTokens;
  for (size_t group = 0; group < pool_->n_groups(); ++group) {
    for (size_t i = pool_->layout().groups[group].FirstNeeded(n_past); i < pages.size(); ++i) {
      if (pages[i][group] == kNoPage) return false;
    }
  }
  return true;
}

std::vector<PageSet> PrefixCache::Find(const PrefixRows& prompt) {
  std::vector<PageSet> pages;
  std::vector<Entries::iterator> path;
  uint64_t parent = kRoot;
  // One row at least must run, for its logits.
  const size_t n_most = prompt.tokens.empty() ? 0 : (prompt.tokens.size() - 1) / kPageTokens;
  std::span<const VectorDigest> vectors = prompt.vectors;
  for (size_t i = 0; i < n_most; ++i) {
    const auto entry = Lookup(KeyOf(parent, prompt, i, vectors));
    if (entry == entries_.end()) break;
    pages.push_back(entry->pages);
    path.push_back(entry);
    parent = entry->id;
  }
  MoveToFront(path);
  while (!IsUsable(pages)) pages.pop_back();
  // Behind a window nothing of what is there is taken.
  for (size_t group = 0; group < pool_->n_groups(); ++group) {
    const size_t needed = pool_->layout().groups[group].FirstNeeded(pages.size() * kPageTokens);
    for (size_t i = 0; i < std::min(needed, pages.size()); ++i) pages[i][group] = kNoPage;
  }
  return pages;
}

std::vector<PageSet> PrefixCache::Keep(const PrefixRows& rows, std::span<const PageSet> pages) {
  uint64_t parent = kRoot;
  std::vector<Entries::iterator> path;
  std::span<const VectorDigest> vectors = rows.vectors;
  for (size_t i = 0; i < rows.tokens.size() / kPageTokens; ++i) {
    Key key = KeyOf(parent, rows, i, vectors);
    auto entry = Lookup(key);
    if (entry == entries_.end()) {
      pool_->AddReference(pages[i]);
      entries_.push_front({next_id_++, std::move(key), pages[i]});
      entry = entries_.begin();
      by_key_[entry->key] = entry;
      by_id_[entry->id] = entry;
      if (parent != kRoot) ++by_id_[parent]->n_children;
    } else {
      TakeMissing(pages[i], *entry);
    }
    path.push_back(entry);
    parent = entry->id;
  }
  MoveToFront(path);
  std::vector<PageSet> kept;
  kept.reserve(path.size());
  for (const Entries::iterator& entry : path) kept.push_back(entry->pages);
  return kept;
}

void PrefixCache::TakeMissing(const PageSet& pages, Entry& entry) {
  for (size_t group = 0; group < pages.size(); ++group) {
    if (entry.pages[group] != kNoPage || pages[group] == kNoPage) continue;
    pool_->group(group).AddReference(pages[group]);
    entry.pages[group] = pages[group];
  }
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
  return static_cast<size_t>(std::ranges::count_if(
      entries_, [this](const Entry& entry) { return pool_->IsUnshared(entry.pages); }));
}

void PrefixCache::MakeRoom(size_t n_pages) {
  for (auto entry = entries_.end(); entry != entries_.begin() && pool_->n_free() < n_pages;) {
    const auto candidate = std::prev(entry);
    if (candidate->n_children == 0 && pool_->IsUnshared(candidate->pages)) {
      Evict(candidate);
      // A parent stands before its child, so going on from here finds it next.
    } else {
      entry = candidate;
    }
  }
}

void PrefixCache::Evict(Entries::iterator entry) {
  const uint64_t parent = entry->key.parent;
  if (parent != kRoot) --by_id_[parent]->n_children;
  pool_->Release(entry->pages);
  by_key_.erase(entry->key);
  by_id_.erase(entry->id);
  entries_.erase(entry);
}

}  // namespace quern
