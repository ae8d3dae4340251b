#include "runtime/text/unicode_category.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <vector>

namespace quern {
namespace {

constexpr size_t kCodePoints = 0x110000;
constexpr size_t kBlock = 256;

struct Run {
  char32_t first;
  UnicodeCategory category;
};

constexpr Run kRuns[] = {
#define UNICODE_RUN(first, category) {first, UnicodeCategory::category},
#include "runtime/text/unicode_categories.inc"
#undef UNICODE_RUN
};

/// Two stages, so that it is 60 KB instead of 1.1 MB: most blocks equal the one before them.
class CategoryTable {
 public:
  CategoryTable() {
    size_t run = 0;
    std::array<UnicodeCategory, kBlock> block;
    for (size_t first = 0; first < kCodePoints; first += kBlock) {
      for (size_t i = 0; i < kBlock; ++i) {
        while (run + 1 < std::size(kRuns) && kRuns[run + 1].first <= first + i) ++run;
        block[i] = kRuns[run].category;
      }
      if (categories_.empty() ||
          !std::equal(block.begin(), block.end(), categories_.end() - kBlock)) {
        categories_.insert(categories_.end(), block.begin(), block.end());
      }
      offsets_[first / kBlock] = static_cast<uint32_t>(categories_.size() - kBlock);
    }
  }

  UnicodeCategory Find(char32_t code_point) const {
    return categories_[offsets_[code_point / kBlock] + code_point % kBlock];
  }

 private:
  std::array<uint32_t, kCodePoints / kBlock> offsets_;
  std::vector<UnicodeCategory> categories_;
};

}  // namespace

UnicodeCategory CategoryOf(char32_t code_point) {
  static const CategoryTable kTable;
  return code_point < kCodePoints ? kTable.Find(code_point) : UnicodeCategory::kOther;
}

}  // namespace quern
