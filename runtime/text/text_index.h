// A hash table from texts to their numbers: the look-up that tokenizing does most.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string_view>
#include <utility>
#include <vector>

namespace quern {

/// Open addressing, at most two thirds full. Texts are views below 4 GB; their bytes live
/// elsewhere.
class TextIndex {
 public:
  static constexpr int32_t kNone = -1;

  /// `n_texts`, as far as it is known, saves growing.
  explicit TextIndex(size_t n_texts = 0) : slots_(kFewestSlots) {
    while (IsTooFull(n_texts)) slots_.resize(2 * slots_.size());
  }

  /// Gives `text` the number `value` (not negative). Returns the number it already had, or kNone.
  int32_t Insert(std::string_view text, int32_t value) {
    const size_t at = SlotOf(text);
    if (slots_[at].value != kNone) return slots_[at].value;
    slots_[at] = {text.data(), static_cast<uint32_t>(text.size()), value};
    if (IsTooFull(++n_texts_)) Grow();
    return kNone;
  }

  /// kNone for an unknown text.
  int32_t Find(std::string_view text) const { return slots_[SlotOf(text)].value; }

 private:
  /// Of 16 bytes, so that a look-up touches one cache line besides the text.
  struct Slot {
    const char* data = nullptr;
    uint32_t size = 0;
    int32_t value = kNone;

    std::string_view text() const { return {data, size}; }
  };
  static constexpr size_t kFewestSlots = 16;

  bool IsTooFull(size_t n_texts) const { return 3 * n_texts > 2 * slots_.size(); }

  void Grow() {
    const std::vector<Slot> old = std::exchange(slots_, std::vector<Slot>(2 * slots_.size()));
    for (const Slot& slot : old) {
      if (slot.value != kNone) slots_[SlotOf(slot.text())] = slot;
    }
  }

  /// Where `text` is, or the free slot where it would go.
  size_t SlotOf(std::string_view text) const {
    const size_t mask = slots_.size() - 1;
    size_t at = std::hash<std::string_view>{}(text)&mask;
    while (slots_[at].value != kNone && slots_[at].text() != text) at = (at + 1) & mask;
    return at;
  }

  std::vector<Slot> slots_;
  size_t n_texts_ = 0;
};

}  // namespace quern
