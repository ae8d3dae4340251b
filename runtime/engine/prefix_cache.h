// Full KV pages of earlier sequences, found again by the tokens that led to them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <list>
#include <map>
#include <span>
#include <utility>
#include <vector>

#include "runtime/forward/kv_pool.h"
#include "runtime/text/token.h"

namespace quern {

/// Pages form a tree: a page is known by its parent page and its own kPageTokens tokens, compared
/// whole. A full page never changes, so sharing it gives the same bits as computing it again.
class PrefixCache {
 public:
  explicit PrefixCache(KvPool* pool) : pool_(pool) {}
  PrefixCache(const PrefixCache&) = delete;
  PrefixCache& operator=(const PrefixCache&) = delete;
  ~PrefixCache();

  /// Pages of the longest known prefix of `prompt` that leaves at least one token to run.
  std::vector<KvPool::PageId> Find(std::span<const Token> prompt);

  /// Remembers the full pages of a sequence, taking a reference to each that is new, and gives the
  /// pages that hold them now: another's where it had computed the same before. The sequence is to
  /// adopt these, so that who uses a page uses its parents too.
  std::vector<KvPool::PageId> Keep(std::span<const Token> tokens,
                                   std::span<const KvPool::PageId> pages);

  /// Forgets pages that no sequence uses, least recently used first, until the pool has `n_pages`
  /// free or none is left.
  void MakeRoom(size_t n_pages);

  /// Pages that MakeRoom could free.
  size_t n_evictable() const;

  size_t size() const { return entries_.size(); }

 private:
  static constexpr uint64_t kRoot = 0;
  struct Entry {
    uint64_t id;
    std::pair<uint64_t, std::vector<Token>> key;  ///< parent's id and the page's tokens
    KvPool::PageId page;
    size_t n_children = 0;
  };
  using Entries = std::list<Entry>;

  Entries::iterator Lookup(uint64_t parent, std::span<const Token> tokens);
  /// Marks a path of prefixes, from the root down, as the most recently used.
  void MoveToFront(std::span<const Entries::iterator> path);
  void Forget(Entries::iterator entry);

  KvPool* pool_;
  Entries entries_;  ///< most recently used first; a parent is never less recent than its children
  std::map<std::pair<uint64_t, std::vector<Token>>, Entries::iterator> by_key_;
  std::map<uint64_t, Entries::iterator> by_id_;
  uint64_t next_id_ = kRoot + 1;
};

}  // namespace quern
