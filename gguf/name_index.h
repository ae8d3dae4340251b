// Finds an item by its name, in items that lie elsewhere.
#pragma once

#include <algorithm>
#include <cstddef>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

namespace quern {

/// Names in order with the positions of their items. Sorted, not hashed: the names come from a
/// file, and whoever chooses the keys of a hash table can make each look-up walk all of it.
class NameIndex {
 public:
  NameIndex() = default;

  /// `name_of(item)` is a view that outlives the index.
  template <typename Items, typename NameOfItem>
  NameIndex(const Items& items, NameOfItem name_of) {
    entries_.reserve(items.size());
    for (size_t i = 0; i < items.size(); ++i) entries_.emplace_back(name_of(items[i]), i);
    std::sort(entries_.begin(), entries_.end());
  }

  std::optional<size_t> Find(std::string_view name) const {
    const auto found = std::lower_bound(
        entries_.begin(), entries_.end(), name,
        [](const Entry& entry, std::string_view wanted) { return entry.first < wanted; });
    if (found == entries_.end() || found->first != name) return std::nullopt;
    return found->second;
  }

  /// A name that two items share.
  std::optional<std::string_view> FindDuplicate() const {
    const auto found =
        std::adjacent_find(entries_.begin(), entries_.end(),
                           [](const Entry& a, const Entry& b) { return a.first == b.first; });
    if (found == entries_.end()) return std::nullopt;
    return found->first;
  }

 private:
  using Entry = std::pair<std::string_view, size_t>;
  std::vector<Entry> entries_;
};

}  // namespace quern
