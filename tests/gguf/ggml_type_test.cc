#include "gguf/ggml_type.h"

#include <gtest/gtest.h>

namespace quern {
namespace {

TEST(GgmlType, FindsTypesByIdAndName) {
  EXPECT_EQ(GgmlTypeFromId(12), GgmlType::kQ4_K);
  EXPECT_EQ(GgmlTypeFromName("q4_k"), GgmlType::kQ4_K);
  EXPECT_FALSE(GgmlTypeFromId(4).has_value());
  EXPECT_FALSE(GgmlTypeFromName("Q4_K_M").has_value());
}

TEST(GgmlType, RowBytesCountsWholeBlocks) {
  EXPECT_EQ(RowBytes(GgmlType::kQ4_K, 4096), 4096U / 256 * 144);
  EXPECT_EQ(RowBytes(GgmlType::kF16, 3), 6U);
}

}  // namespace
}  // namespace quern
