#include "kernels/targets.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace quern {
namespace {

TEST(TargetsTest, ListsBestFirstAndChoosesIt) {
  const std::vector<std::string> targets = SupportedTargets();
  ASSERT_FALSE(targets.empty());
  ChooseBestTarget();
  EXPECT_EQ(ChosenTarget(), targets.front());
}

TEST(TargetsTest, EachTargetCanBeForced) {
  for (const std::string& name : SupportedTargets()) {
    ASSERT_TRUE(ForceTarget(name).has_value()) << name;
    EXPECT_EQ(ChosenTarget(), name);
  }
  ChooseBestTarget();
}

#if defined(__x86_64__)
TEST(TargetsTest, PlainCodeIsTheLastResort) { EXPECT_EQ(SupportedTargets().back(), "EMU128"); }
#endif

TEST(TargetsTest, AnUnknownNameIsAnErrorThatListsTheNames) {
  ChooseBestTarget();
  const Status status = ForceTarget("MMX");
  ASSERT_FALSE(status.has_value());
  EXPECT_EQ(status.error().code, ErrorCode::kInvalidArgument);
  EXPECT_THAT(status.error().message, testing::HasSubstr("'MMX'"));
  EXPECT_THAT(status.error().message, testing::HasSubstr(SupportedTargets().front()));
  EXPECT_EQ(ChosenTarget(), SupportedTargets().front());
}

}  // namespace
}  // namespace quern
