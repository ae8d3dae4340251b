#include "kernels/targets.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#if defined(__aarch64__)
#include <asm/hwcap.h>
#include <sys/auxv.h>
#endif

#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

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

TEST(TargetsTest, QuestionsAndErrorsLeaveTheChoice) {
  ASSERT_TRUE(ForceTarget(SupportedTargets().back()).has_value());
  const std::string forced = ChosenTarget();
  EXPECT_EQ(SupportedTargets().back(), forced);
  EXPECT_EQ(ChosenTarget(), forced);
  EXPECT_FALSE(ForceTarget("MMX").has_value());
  EXPECT_EQ(ChosenTarget(), forced);
  ChooseBestTarget();
  EXPECT_EQ(ChosenTarget(), SupportedTargets().front());
}

#if defined(__x86_64__)
// What the processor says, asked in another way than Highway does.
TEST(TargetsTest, AreThoseOfTheProcessor) {
  const bool sse4 = __builtin_cpu_supports("sse4.2") != 0 && __builtin_cpu_supports("pclmul") != 0;
  const bool avx2 = sse4 && __builtin_cpu_supports("avx2") != 0 &&
                    __builtin_cpu_supports("fma") != 0 && __builtin_cpu_supports("bmi2") != 0;
  const bool avx3 =
      avx2 && __builtin_cpu_supports("avx512f") != 0 && __builtin_cpu_supports("avx512vl") != 0 &&
      __builtin_cpu_supports("avx512dq") != 0 && __builtin_cpu_supports("avx512bw") != 0 &&
      __builtin_cpu_supports("avx512cd") != 0;
  const bool avx3_dl =
      avx3 && __builtin_cpu_supports("avx512vnni") != 0 &&
      __builtin_cpu_supports("avx512vbmi2") != 0 && __builtin_cpu_supports("avx512bitalg") != 0 &&
      __builtin_cpu_supports("vpclmulqdq") != 0 && __builtin_cpu_supports("gfni") != 0;
  const std::vector<std::string> targets = SupportedTargets();
  const auto has = [&](const char* name) { return std::ranges::count(targets, name) == 1; };
  EXPECT_EQ(has("SSE4"), sse4);
  EXPECT_EQ(has("AVX2"), avx2);
  EXPECT_EQ(has("AVX3"), avx3);
  EXPECT_EQ(has("AVX3_DL"), avx3_dl);
  EXPECT_EQ(has("AVX3_ZEN4"),
            avx3_dl && __builtin_cpu_supports("avx512bf16") != 0 && __builtin_cpu_is("amd") != 0);
  EXPECT_EQ(targets.back(), "EMU128") << "plain code is the last resort";
}
#elif defined(__aarch64__)
TEST(TargetsTest, AreThoseOfTheProcessor) {
  const uint64_t features = getauxval(AT_HWCAP);
  const bool aes = (features & HWCAP_AES) != 0;
  const bool half_floats_and_dots = (features & HWCAP_ASIMDHP) != 0 &&
                                    (features & HWCAP_ASIMDDP) != 0 &&
                                    (getauxval(AT_HWCAP2) & HWCAP2_BF16) != 0;
  // Highway does not trust older compilers with bfloat16.
#if defined(__clang__)
  const bool bf16_compiled = __clang_major__ >= 17;
#else
  const bool bf16_compiled = __GNUC__ * 100 + __GNUC_MINOR__ >= 1302;
#endif
  std::vector<std::string> expected;
  if (aes && half_floats_and_dots && bf16_compiled) expected.emplace_back("NEON_BF16");
  if (aes) expected.emplace_back("NEON");
  expected.emplace_back("NEON_WITHOUT_AES");
  EXPECT_EQ(SupportedTargets(), expected);
}
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
