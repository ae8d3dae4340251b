// A hash table from texts to their numbers: the look-up that tokenizing does most.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string_view>
#include <vector>

namespace quern {

/// Open addressing at a load of at most one half. Texts are views; their bytes live elsewhere.
class TextIndex {
 public:
  static constexpr int32_t kNone = -1;

  /// `max_texts` is the most that will be inserted.
  explicit TextIndex(size_t max_texts) {
    size_t n_slots = 16;
    while (n_slots < 2 * max_texts) n_slots *= 2;
    slots_.resize(n_slots);
  }

  /// Gives `text` the number `value` (not negative). Returns the number it already had, or kNone.
  int32_t Insert(std::string_view text, int32_t value) {
    Slot& slot = slots_[SlotOf(text)];
    if (slot.value == kNone) slot = {text, value};
    return slot.value == value ? kNone : slot.value;
  }

  /// kNone for an unknown text.
  int32_t Find(std::string_view text) const { return slots_[SlotOf(text)].value; }

 private:
  struct Slot {
    std::string_view text;
    int32_t value = kNone;
  };

  /// Where `text` is, or the free slot where it would go.
  size_t SlotOf(std::string_view text) const {
    const size_t mask = slots_.size() - 1;
    size_t at = std::hash<std::string_view>{}(text) & mask;
    while (slots_[at].value != kNone && slots_[at].text != text) at = (at + 1) & mask;
    return at;
  }

  std::vector<Slot> slots_;
};

}  // namespace quern
