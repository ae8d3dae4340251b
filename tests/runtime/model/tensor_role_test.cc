#include "runtime/model/tensor_role.h"

#include <gtest/gtest.h>

namespace quern {
namespace {

TEST(TensorRole, NamesAreReadAsTheyAreWritten) {
  for (size_t i = 0; i < kTensorRoles; ++i) {
    const auto role = static_cast<TensorRole>(i);
    const auto place = ParseTensorName(TensorName(role, 17));
    ASSERT_TRUE(place) << NameOf(role);
    EXPECT_EQ(place->role, role);
    EXPECT_EQ(place->layer, IsOfLayer(role) ? 17U : 0U);
  }
}

TEST(TensorRole, OtherNamesAreNone) {
  for (const char* name : {"", "blk.", "blk.1", "blk.1.", "blk.x.attn_q.weight", "attn_q.weight",
                           "blk.1.output.weight", "blk.99999999999.attn_q.weight",
                           "blk.1.attn_q.weight.", "blk.-1.attn_q.weight"}) {
    EXPECT_FALSE(ParseTensorName(name)) << name;
  }
}

}  // namespace
}  // namespace quern
