#include "runtime/engine/sampling_defaults.h"

#include <gtest/gtest.h>

#include <vector>

#include "gguf/gguf_writer.h"

namespace quern {
namespace {

/// What a file whose only metadata `set` writes recommends.
template <typename Set>
Result<SamplingParams> Recommended(Set set) {
  GgufWriter writer;
  set(writer);
  const std::vector<std::byte> bytes = writer.Header();
  Result<GgufFile> file = GgufFile::FromMemory(bytes, "model");
  if (!file) return Propagate(file);
  return RecommendedSampling(*file);
}

TEST(RecommendedSampling, WithoutKeysIsOurDefault) {
  const Result<SamplingParams> params = Recommended([](GgufWriter&) {});
  ASSERT_TRUE(params.has_value()) << params.error().message;
  EXPECT_EQ(params->temperature, SamplingParams().temperature);
  EXPECT_EQ(params->top_k, SamplingParams().top_k);
}

TEST(RecommendedSampling, TakesEveryKey) {
  const Result<SamplingParams> params = Recommended([](GgufWriter& writer) {
    writer.SetFloat32("general.sampling.temp", 0.6F);
    writer.SetInt32("general.sampling.top_k", 20);
    writer.SetFloat32("general.sampling.top_p", 0.9F);
    writer.SetFloat32("general.sampling.min_p", 0);
    writer.SetFloat32("general.sampling.penalty_repeat", 1.1F);
    writer.SetUint32("general.sampling.penalty_last_n", 128);
  });
  ASSERT_TRUE(params.has_value()) << params.error().message;
  EXPECT_EQ(params->temperature, 0.6F);
  EXPECT_EQ(params->top_k, 20);
  EXPECT_EQ(params->top_p, 0.9F);
  EXPECT_EQ(params->min_p, 0);
  EXPECT_EQ(params->repeat_penalty, 1.1F);
  EXPECT_EQ(params->repeat_last_n, 128);
}

TEST(RecommendedSampling, RefusesWrongTypesAndRanges) {
  const auto message = [](auto set) {
    const Result<SamplingParams> params = Recommended(set);
    return params ? std::string("accepted") : params.error().message;
  };
  EXPECT_EQ(message([](auto& w) { w.SetString("general.sampling.top_k", "many"); }),
            "model: 'general.sampling.top_k' is no 32-bit integer");
  EXPECT_EQ(message([](auto& w) { w.SetUint64("general.sampling.top_k", 1ULL << 40); }),
            "model: 'general.sampling.top_k' is no 32-bit integer");
  EXPECT_EQ(message([](auto& w) { w.SetFloat32("general.sampling.top_p", 2); }),
            "model: general.sampling: top_p is 2, expected 0 to 1");
  EXPECT_NE(message([](auto& w) { w.SetString("general.sampling.temp", "hot"); }), "accepted");
}

}  // namespace
}  // namespace quern
