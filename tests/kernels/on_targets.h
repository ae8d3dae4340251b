// Runs a kernel test on every SIMD target of this machine, and compares bits.
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "kernels/targets.h"

namespace quern {

/// Each test runs once per target, which is its parameter.
class OnTargets : public testing::TestWithParam<std::string> {
 protected:
  void SetUp() override { ASSERT_TRUE(ForceTarget(GetParam()).has_value()); }
  void TearDown() override { ChooseBestTarget(); }
};

inline std::string TargetTestName(const testing::TestParamInfo<std::string>& info) {
  return info.param;
}

/// Whether the target's MulAdd rounds once. The others (SSE4, plain code) round the product as
/// well, so their last bits differ.
inline bool HasFma(const std::string& target) { return target != "SSE4" && target != "EMU128"; }

inline std::vector<std::string> FmaTargets() {
  std::vector<std::string> targets = SupportedTargets();
  std::erase_if(targets, [](const std::string& name) { return !HasFma(name); });
  return targets;
}

template <typename T>
testing::AssertionResult SameBits(const std::vector<T>& a, const std::vector<T>& b) {
  if (a.size() != b.size()) return testing::AssertionFailure() << a.size() << " != " << b.size();
  for (size_t i = 0; i < a.size(); ++i) {
    if (std::memcmp(&a[i], &b[i], sizeof(T)) != 0) {
      return testing::AssertionFailure() << "element " << i << ": " << a[i] << " != " << b[i];
    }
  }
  return testing::AssertionSuccess();
}

/// `n` normally distributed floats.
inline std::vector<float> RandomFloats(size_t n, uint32_t seed, float deviation = 1) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0, deviation);
  std::vector<float> values(n);
  for (float& value : values) value = normal(random);
  return values;
}

}  // namespace quern
