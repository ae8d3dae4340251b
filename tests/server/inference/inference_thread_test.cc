#include "server/inference/inference_thread.h"

#include <gtest/gtest.h>

#include <chrono>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "tests/testing/await.h"
#include "tools/demo_model/demo_model.h"

namespace quern {
namespace {

class InferenceThreadTest : public ::testing::Test {
 protected:
  /// One request runs, and none waits.
  static std::unique_ptr<InferenceThread> Start(InferenceListener listener = {}) {
    const Result<GgufFile> file = GgufFile::FromMemory(DemoModelBytes(), "demo");
    return std::make_unique<InferenceThread>(
        Engine::Create(Model::Load(*file).value(), {.n_ctx = 64, .max_running = 1, .n_threads = 1})
            .value(),
        /*max_queue=*/0, std::move(listener));
  }
  static std::vector<GenerateRequest> Requests(size_t n) {
    std::vector<GenerateRequest> requests(n);
    for (GenerateRequest& request : requests) {
      request.prompt = {1, 2, 3};
      request.max_tokens = 5;
      request.ignore_eos = true;
    }
    return requests;
  }
  /// How an answer of its own ends.
  static FinishReason Run(InferenceThread& inference) {
    const auto events = std::make_shared<GenerateQueue>();
    std::vector<GenerateRequest> requests = Requests(1);
    EXPECT_TRUE(inference.Submit(requests, 0, events));
    while (true) {
      const auto event = events->Take(testing::kAwaitDeadline);
      if (!event) testing::FailAwaiting("an event");
      if (event->event.finished) return event->event.finish_reason;
    }
  }
};

TEST_F(InferenceThreadTest, TakesNoMoreThanItsQueueHolds) {
  const auto inference = Start();
  std::vector<GenerateRequest> requests = Requests(2);
  const auto refused = inference->Submit(requests, 0, std::make_shared<GenerateQueue>());
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kBusy);
  EXPECT_EQ(refused.error().message, "1 answers are running or waiting already: try later");
  EXPECT_EQ(inference->n_active(), 0U);
  EXPECT_EQ(Run(*inference), FinishReason::kLength);
}

TEST_F(InferenceThreadTest, AStepThatThrowsIsToldAndEndsItsAnswers) {
  std::vector<std::string> failures;
  size_t n_tokens = 0;
  InferenceListener listener;
  listener.on_inter_token = [&](double) {
    if (++n_tokens == 2) throw std::runtime_error("no memory for it");
  };
  listener.on_failed_step = [&](std::string_view what, size_t n_cancelled) {
    failures.push_back(std::string(what) + " " + std::to_string(n_cancelled));
  };
  const auto inference = Start(listener);
  EXPECT_EQ(Run(*inference), FinishReason::kCancelled);
  EXPECT_EQ(failures, std::vector<std::string>{"no memory for it 1"});
  EXPECT_EQ(Run(*inference), FinishReason::kLength);
  EXPECT_EQ(failures.size(), 1U);
}

TEST_F(InferenceThreadTest, TakesNothingAfterClose) {
  const auto inference = Start();
  inference->Close(std::chrono::steady_clock::now());
  std::vector<GenerateRequest> requests = Requests(1);
  EXPECT_EQ(inference->Submit(requests, 0, std::make_shared<GenerateQueue>()).error().code,
            ErrorCode::kCancelled);
}

}  // namespace
}  // namespace quern
