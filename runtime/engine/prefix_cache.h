// Full KV pages of earlier sequences, found again by the rows that led to them.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <list>
#include <map>
#include <span>
#include <vector>

#include "runtime/forward/kv_pool.h"
#include "runtime/text/token.h"

namespace quern {

/// What stands for a row that starts from a given vector: a digest of what the vector was made of,
/// such as the image and the place in it. Equal ones must come from equal vectors.
using VectorDigest = std::array<uint64_t, 4>;

/// The rows of a prompt as keys.
struct PrefixRows {
  /// In the place of the token of a row that starts from a vector.
  static constexpr Token kVector = -1;

  // NOLINTBEGIN(google-explicit-constructor): tokens alone
  PrefixRows(std::span<const Token> all_tokens) : tokens(all_tokens) {}
  PrefixRows(const std::vector<Token>& all_tokens) : tokens(all_tokens) {}
  // NOLINTEND(google-explicit-constructor)
  PrefixRows(std::span<const Token> all_tokens, std::span<const VectorDigest> all_vectors)
      : tokens(all_tokens), vectors(all_vectors) {}

  std::span<const Token> tokens;
  std::span<const VectorDigest> vectors;  ///< of the rows with kVector, in order
};

/// Pages form a tree: a page is known by its parent page and its own kPageTokens rows, compared
/// whole. A full page never changes, so sharing it gives the same bits as computing it again.
class PrefixCache {
 public:
  explicit PrefixCache(KvPool* pool) : pool_(pool) {}
  PrefixCache(const PrefixCache&) = delete;
  PrefixCache& operator=(const PrefixCache&) = delete;
  ~PrefixCache();

  /// Pages of the longest known prefix of `prompt` that leaves at least one row to run, and of
  /// which all pages are there that the next rows see.
  std::vector<PageSet> Find(const PrefixRows& prompt);

  /// Remembers the full pages of a sequence, taking a reference to each that is new, and gives the
  /// pages that hold them now: another's where it had computed the same before. The sequence is to
  /// adopt these, so that who uses a page uses its parents too.
  std::vector<PageSet> Keep(const PrefixRows& rows, std::span<const PageSet> pages);

  /// Evicts pages that no sequence uses, least recently used first, until the pool has `n_pages`
  /// free or none is left.
  void MakeRoom(size_t n_pages);

  /// Pages that MakeRoom could free.
  size_t n_evictable() const;

  size_t size() const { return entries_.size(); }

 private:
  static constexpr uint64_t kRoot = 0;
  struct Key {
    auto operator<=>(const Key&) const = default;
    uint64_t parent;
    std::vector<Token> tokens;
    std::vector<VectorDigest> vectors;
  };
  struct Entry {
    uint64_t id;
    Key key;
    PageSet pages;
    size_t n_children = 0;
  };
  using Entries = std::list<Entry>;

  /// The key of page `index` of `rows`, whose vectors are the first of `vectors`, which then lacks
  /// them.
  static Key KeyOf(uint64_t parent, const PrefixRows& rows, size_t index,
                   std::span<const VectorDigest>& vectors);
  Entries::iterator Lookup(const Key& key);
  /// Whether a sequence that begins with these pages has all that its next rows see.
  bool IsUsable(std::span<const PageSet> pages) const;
  /// Takes what a window had kept from an entry and now is there again.
  void TakeMissing(const PageSet& pages, Entry& entry);
  /// Marks a path of prefixes, from the root down, as the most recently used.
  void MoveToFront(std::span<const Entries::iterator> path);
  void Evict(Entries::iterator entry);

  KvPool* pool_;
  Entries entries_;  ///< most recently used first; a parent is never less recent than its children
  std::map<Key, Entries::iterator> by_key_;
  std::map<uint64_t, Entries::iterator> by_id_;
  uint64_t next_id_ = kRoot + 1;
};

}  // namespace quern
