#include "server/inference/request_group.h"

#include <gtest/gtest.h>

#include <chrono>
#include <memory>
#include <thread>
#include <utility>
#include <vector>

#include "tools/demo_model/demo_model.h"

namespace quern {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds kLong{30'000};
const auto kStays = [] { return false; };

/// Two places, and nobody waits for one.
class RequestGroupTest : public ::testing::Test {
 protected:
  static std::unique_ptr<InferenceThread> NewInference() {
    const Result<GgufFile> file = GgufFile::FromMemory(DemoModelBytes(), "demo");
    return std::make_unique<InferenceThread>(
        Engine::Create(Model::Load(*file).value(),
                       {.n_ctx = 1 << 20, .max_running = 2, .n_threads = 1})
            .value(),
        /*max_queue=*/0);
  }
  static std::vector<GenerateRequest> Requests(size_t n, size_t max_tokens) {
    GenerateRequest request;
    request.prompt = {1, 2, 3};
    request.max_tokens = max_tokens;
    request.ignore_eos = true;
    return std::vector<GenerateRequest>(n, request);
  }

  std::unique_ptr<InferenceThread> inference_ = NewInference();
};

TEST_F(RequestGroupTest, MoreThanRunTogetherFollowEachOther) {
  const auto group = GenerateGroup::Submit(inference_.get(), Requests(5, 3)).value();
  EXPECT_EQ(inference_->n_active(), 2U);
  EXPECT_EQ(group->AwaitStart(kLong, kStays), GroupStart::kStarted);
  std::vector<size_t> n_tokens(group->size());
  while (!group->finished()) {
    const auto event = group->Next(kLong);
    ASSERT_TRUE(event);
    EXPECT_FALSE(event->event.is_cancelled());
    n_tokens.at(event->index) += event->event.token ? 1 : 0;
  }
  EXPECT_EQ(n_tokens, std::vector<size_t>(5, 3));
}

TEST_F(RequestGroupTest, Embeddings) {
  std::vector<EmbedRequest> requests(4);
  for (EmbedRequest& request : requests) request.prompt = {1, 2, 3};
  const auto group = EmbedGroup::Submit(inference_.get(), requests).value();
  EXPECT_EQ(group->AwaitStart(kLong, kStays), GroupStart::kStarted);
  std::vector<std::vector<float>> values(group->size());
  while (!group->finished()) {
    auto event = group->Next(kLong);
    ASSERT_TRUE(event);
    EXPECT_EQ(event->event.stats.prompt_tokens, 3U);
    values.at(event->index) = std::move(event->event.values);
  }
  EXPECT_FALSE(values[0].empty());
  for (const std::vector<float>& each : values) EXPECT_EQ(each, values[0]);
}

TEST_F(RequestGroupTest, FullPlacesRefuseAndAreFreedByItsEnd) {
  auto group = GenerateGroup::Submit(inference_.get(), Requests(2, 1'000'000)).value();
  const auto refused = GenerateGroup::Submit(inference_.get(), Requests(1, 1));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kBusy);
  group.reset();
  const auto deadline = std::chrono::steady_clock::now() + kLong;
  while (inference_->n_active() > 0 && std::chrono::steady_clock::now() < deadline) {
    std::this_thread::sleep_for(milliseconds(1));
  }
  EXPECT_TRUE(GenerateGroup::Submit(inference_.get(), Requests(1, 1)));
}

TEST_F(RequestGroupTest, WhatWasNotSubmittedIsCutOffToo) {
  const auto group = GenerateGroup::Submit(inference_.get(), Requests(3, 1'000'000)).value();
  inference_->Close(std::chrono::steady_clock::now());
  const auto deadline = std::chrono::steady_clock::now() + kLong;
  bool is_cut_off = false;
  while (!is_cut_off && std::chrono::steady_clock::now() < deadline) {
    const auto event = group->Next(kLong);
    is_cut_off = event && event->event.is_cancelled();
  }
  EXPECT_TRUE(is_cut_off);
}

}  // namespace
}  // namespace quern
