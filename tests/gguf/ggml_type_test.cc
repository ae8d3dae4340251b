#include "gguf/ggml_type.h"

#include <gtest/gtest.h>

#include <iterator>
#include <string_view>

namespace quern {
namespace {

/// The types as files in the world have them: id, name, elements and bytes of a block.
struct Known {
  uint32_t id;
  std::string_view name;
  uint32_t elements;
  uint32_t bytes;
};
constexpr Known kKnown[] = {
    {0, "F32", 1, 4},         {1, "F16", 1, 2},         {2, "Q4_0", 32, 18},
    {3, "Q4_1", 32, 20},      {6, "Q5_0", 32, 22},      {7, "Q5_1", 32, 24},
    {8, "Q8_0", 32, 34},      {9, "Q8_1", 32, 36},      {10, "Q2_K", 256, 84},
    {11, "Q3_K", 256, 110},   {12, "Q4_K", 256, 144},   {13, "Q5_K", 256, 176},
    {14, "Q6_K", 256, 210},   {15, "Q8_K", 256, 292},   {16, "IQ2_XXS", 256, 66},
    {17, "IQ2_XS", 256, 74},  {18, "IQ3_XXS", 256, 98}, {19, "IQ1_S", 256, 50},
    {20, "IQ4_NL", 32, 18},   {21, "IQ3_S", 256, 110},  {22, "IQ2_S", 256, 82},
    {23, "IQ4_XS", 256, 136}, {24, "I8", 1, 1},         {25, "I16", 1, 2},
    {26, "I32", 1, 4},        {27, "I64", 1, 8},        {28, "F64", 1, 8},
    {29, "IQ1_M", 256, 56},   {30, "BF16", 1, 2},       {34, "TQ1_0", 256, 54},
    {35, "TQ2_0", 256, 66},   {39, "MXFP4", 32, 17},    {40, "NVFP4", 64, 36},
    {41, "Q1_0", 128, 18},    {42, "Q2_0", 64, 18},
};

TEST(GgmlType, EveryTypeHasItsIdNameAndBlock) {
  for (const Known& known : kKnown) {
    const auto type = GgmlTypeFromId(known.id);
    ASSERT_TRUE(type.has_value()) << known.id;
    EXPECT_EQ(NameOf(*type), known.name);
    EXPECT_EQ(GgmlTypeFromName(known.name), type);
    EXPECT_EQ(TraitsOf(*type).block_elements, known.elements) << known.name;
    EXPECT_EQ(TraitsOf(*type).block_bytes, known.bytes) << known.name;
  }
}

TEST(GgmlType, OtherIdsAreNoTypes) {
  size_t n_types = 0;
  for (uint32_t id = 0; id < 1000; ++id) n_types += GgmlTypeFromId(id).has_value() ? 1 : 0;
  EXPECT_EQ(n_types, std::size(kKnown));
  EXPECT_FALSE(GgmlTypeFromId(UINT32_MAX).has_value());
}

TEST(GgmlType, NamesAreFoundInAnyCase) {
  EXPECT_EQ(GgmlTypeFromName("q4_k"), GgmlType::kQ4_K);
  EXPECT_FALSE(GgmlTypeFromName("Q4_K_M").has_value());
}

TEST(GgmlType, RowBytesCountsWholeBlocks) {
  EXPECT_EQ(RowBytes(GgmlType::kQ4_K, 4096), 4096U / 256 * 144);
  EXPECT_EQ(RowBytes(GgmlType::kF16, 3), 6U);
}

}  // namespace
}  // namespace quern
