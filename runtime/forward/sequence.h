// A sequence as the forward pass sees it: its KV pages and how many of their positions are filled.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "gguf/base/result.h"
#include "runtime/forward/kv_pool.h"

namespace quern {

/// Owns one reference to each of its pages, which stand in a table for each group of layers. A page
/// may be shared with other sequences once it is full. Pages that no later position can see, behind
/// the window of their group, are given back as the sequence advances.
class Sequence {
 public:
  explicit Sequence(KvPool* pool) : pool_(pool), tables_(pool->n_groups()) {}
  Sequence(Sequence&& other) noexcept;
  Sequence& operator=(Sequence&&) = delete;
  ~Sequence();

  size_t n_past() const { return n_past_; }
  /// Places of pages, those that were given back counted too.
  size_t n_pages() const { return tables_.front().pages.size(); }
  /// The pages of each place.
  std::vector<PageSet> pages() const;

  /// Free pages of each group that Reserve(n_tokens) would take, at most.
  size_t PagesToReserve(size_t n_tokens) const;

  /// Takes pages for `n_tokens` more, which may then be written. Errors: kOutOfMemory, and nothing
  /// is taken, when the pool has too few.
  Status Reserve(size_t n_tokens);

  /// Begins with full pages that another sequence computed; call it on an empty sequence.
  void Share(std::span<const PageSet> pages);

  /// Puts pages with the same contents in the place of its first ones.
  void Adopt(std::span<const PageSet> pages);

  /// Counts `n_tokens` whose state was written.
  void Advance(size_t n_tokens);

  /// Goes back to at most `n_past` positions, and gives what n_past() is now: less, where the state
  /// of just so many is no longer there (pages behind a window; later, states that are kept only at
  /// snapshots). The caller runs the rest again.
  size_t Truncate(size_t n_past);

  /// Base address of each page of a group: the page table of the attention kernels. Null where it
  /// was given back.
  std::byte* const* page_table(size_t group) const { return tables_[group].addresses.data(); }

 private:
  struct Table {
    std::vector<PageId> pages;
    std::vector<std::byte*> addresses;
    size_t n_given_back = 0;  ///< at its beginning
  };

  void Append(size_t group, PageId page);
  bool CanReturnTo(size_t n_past) const;
  void GiveBackBehindWindows();
  /// After Truncate the next page to write may be one that others read beyond n_past.
  bool WritesToShared(size_t group) const;
  /// Puts a copy in the place of a shared page.
  void MakeOwn(size_t group, size_t index);

  KvPool* pool_;
  std::vector<Table> tables_;  ///< of each group
  size_t n_past_ = 0;
};

}  // namespace quern
