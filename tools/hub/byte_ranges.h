// A set of byte positions as disjoint ranges: what of a file is there.
#pragma once

#include <cstdint>
#include <map>
#include <vector>

namespace quern {

/// The positions from `begin` up to, not including, `end`.
struct ByteRange {
  uint64_t begin = 0;
  uint64_t end = 0;

  uint64_t size() const { return end - begin; }
  friend bool operator==(const ByteRange&, const ByteRange&) = default;
};

class ByteRanges {
 public:
  /// Empty ranges add nothing; those that touch or overlap become one.
  void Add(ByteRange range);

  uint64_t n_bytes() const;
  std::vector<ByteRange> ranges() const;
  /// What is not there of the first `size` bytes, in pieces of at most `piece_bytes`.
  std::vector<ByteRange> Missing(uint64_t size, uint64_t piece_bytes) const;

 private:
  std::map<uint64_t, uint64_t> end_of_;  ///< by begin
};

}  // namespace quern
