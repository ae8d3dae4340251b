#include "tools/hub/byte_ranges.h"

#include <algorithm>
#include <iterator>

namespace quern {

void ByteRanges::Add(ByteRange range) {
  if (range.begin >= range.end) return;
  auto next = end_of_.upper_bound(range.begin);
  if (next != end_of_.begin() && std::prev(next)->second >= range.begin) --next;
  while (next != end_of_.end() && next->first <= range.end) {
    range.begin = std::min(range.begin, next->first);
    range.end = std::max(range.end, next->second);
    next = end_of_.erase(next);
  }
  end_of_.emplace_hint(next, range.begin, range.end);
}

uint64_t ByteRanges::n_bytes() const {
  uint64_t sum = 0;
  for (const auto& [begin, end] : end_of_) sum += end - begin;
  return sum;
}

std::vector<ByteRange> ByteRanges::ranges() const {
  std::vector<ByteRange> all;
  for (const auto& [begin, end] : end_of_) all.push_back({begin, end});
  return all;
}

std::vector<ByteRange> ByteRanges::Missing(uint64_t size, uint64_t piece_bytes) const {
  std::vector<ByteRange> missing;
  uint64_t at = 0;
  const auto add_until = [&](uint64_t end) {
    while (at < end) {
      const uint64_t piece_end = at + std::min(piece_bytes, end - at);
      missing.push_back({at, piece_end});
      at = piece_end;
    }
  };
  for (const auto& [begin, end] : end_of_) {
    add_until(std::min(begin, size));
    at = std::max(at, end);
  }
  add_until(size);
  return missing;
}

}  // namespace quern
