#include "server/inference/model_pool.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <future>
#include <string>
#include <thread>

#include "tests/server/serving.h"
#include "tests/testing/await.h"

namespace quern {
namespace {

using std::chrono::milliseconds;
using ::testing::HasSubstr;

constexpr milliseconds kLong{30'000};
const auto kStays = [] { return false; };

HttpError ErrorOf(const tl::expected<ModelLease, NoReply>& lease) {
  return std::get<HttpError>(lease.error());
}

class ModelPoolTest : public ::testing::Test {
 protected:
  /// A model of ten bytes.
  ServedModel Demo(const std::string& id, const std::string& path = "") {
    ServedModel demo =
        ServedDemo(id, {.n_ctx = 64, .max_running = 1, .n_threads = 1}, 0, &metrics_);
    demo.memory_bytes = 10;
    demo.recipe.path = path;
    return demo;
  }
  ModelStatus StatusOf(const std::string& id) const {
    for (const ModelStatus& status : pool_.status()) {
      if (status.info.id == id) return status;
    }
    ADD_FAILURE() << "no model " << id;
    return {};
  }
  bool IsLoaded(const std::string& id) const { return StatusOf(id).state == ModelState::kLoaded; }
  void AwaitUnloaded(const std::string& id) const {
    testing::Await("an unloaded " + id, [&] { return !IsLoaded(id); });
  }

  Metrics metrics_{"1"};
  ModelPool pool_;
};

TEST_F(ModelPoolTest, LoadsWhatIsAskedFor) {
  ServedModel aliased = Demo("b");
  aliased.aliases = {"bee"};
  ASSERT_TRUE(pool_.Configure({.load_wait = kLong}, {Demo("a"), aliased}));
  EXPECT_FALSE(pool_.ready());
  ASSERT_TRUE(pool_.Preload());
  EXPECT_TRUE(pool_.ready());
  EXPECT_FALSE(IsLoaded("a"));
  EXPECT_EQ(pool_.AcquireLoaded("b").error().message, "the model b is not loaded");
  EXPECT_EQ(pool_.Acquire("bee", kStays)->model().info.id, "b");
  EXPECT_EQ(pool_.AcquireLoaded("b")->model().info.id, "b");
  EXPECT_EQ(pool_.Acquire("", kStays)->model().info.id, "a");
  EXPECT_TRUE(IsLoaded("a") && IsLoaded("b"));

  const auto unknown = pool_.Acquire("c", kStays);
  ASSERT_FALSE(unknown);
  EXPECT_EQ(ErrorOf(unknown).status, 404);
  EXPECT_THAT(ErrorOf(unknown).message, HasSubstr("'c'"));
}

TEST_F(ModelPoolTest, ASingleModelAnswersToEveryName) {
  ASSERT_TRUE(pool_.Configure({.load_wait = kLong, .any_name = true}, {Demo("a")}));
  EXPECT_EQ(pool_.Acquire("gpt-4", kStays)->model().info.id, "a");
}

TEST_F(ModelPoolTest, UnloadsTheOneUnusedForLongest) {
  ASSERT_TRUE(
      pool_.Configure({.memory_bytes = 25, .load_wait = kLong}, {Demo("a"), Demo("b"), Demo("c")}));
  for (const char* id : {"a", "b", "a", "c"}) EXPECT_TRUE(pool_.Acquire(id, kStays)) << id;
  EXPECT_TRUE(IsLoaded("a") && IsLoaded("c"));
  EXPECT_FALSE(IsLoaded("b"));
  EXPECT_EQ(StatusOf("b").n_unloads, 1U);
  EXPECT_EQ(StatusOf("a").n_loads, 1U);
}

TEST_F(ModelPoolTest, SparesWhatIsInUseWhereItCan) {
  ASSERT_TRUE(
      pool_.Configure({.max_loaded = 2, .load_wait = kLong}, {Demo("a"), Demo("b"), Demo("c")}));
  const auto held = pool_.Acquire("a", kStays);
  EXPECT_TRUE(pool_.Acquire("b", kStays));
  EXPECT_TRUE(pool_.Acquire("c", kStays));
  EXPECT_TRUE(IsLoaded("a"));
  EXPECT_FALSE(IsLoaded("b"));
}

// Else a model that is always in use would keep others out for ever.
TEST_F(ModelPoolTest, WhatIsInUseFinishesAndMakesRoom) {
  ASSERT_TRUE(pool_.Configure({.max_loaded = 1, .load_wait = kLong}, {Demo("a"), Demo("b")}));
  std::optional<ModelLease> held(*pool_.Acquire("a", kStays));
  std::thread other([&] { EXPECT_TRUE(pool_.Acquire("b", kStays)); });
  testing::Await("that a takes no more", [&] { return !pool_.AcquireLoaded("a"); });
  EXPECT_TRUE(IsLoaded("a"));
  std::thread again([&] { EXPECT_TRUE(pool_.Acquire("a", kStays)); });
  held.reset();
  other.join();
  again.join();
  EXPECT_EQ(StatusOf("a").n_loads, 2U);
}

TEST_F(ModelPoolTest, ManyWhoWantDifferentModelsAllGetThem) {
  ASSERT_TRUE(
      pool_.Configure({.max_loaded = 1, .load_wait = kLong}, {Demo("a"), Demo("b"), Demo("c")}));
  std::vector<std::thread> clients;
  for (int i = 0; i < 6; ++i) {
    clients.emplace_back([&, id = std::string(1, static_cast<char>('a' + i % 3))] {
      for (int turn = 0; turn < 10; ++turn) EXPECT_TRUE(pool_.Acquire(id, kStays));
    });
  }
  for (std::thread& client : clients) client.join();
}

TEST_F(ModelPoolTest, WhatStaysLoadedIsNotUnloaded) {
  ServedModel stays = Demo("a");
  stays.preload = true;
  ServedModel large = Demo("c");
  large.memory_bytes = 20;
  ASSERT_TRUE(pool_.Configure({.memory_bytes = 25, .load_wait = kLong}, {stays, Demo("b"), large}));
  ASSERT_TRUE(pool_.Preload());
  EXPECT_TRUE(IsLoaded("a"));
  EXPECT_TRUE(pool_.Acquire("b", kStays));
  const auto never = pool_.Acquire("c", kStays);
  ASSERT_FALSE(never);
  EXPECT_EQ(ErrorOf(never).status, 500);
  EXPECT_EQ(ErrorOf(never).message, "the model c could not be loaded");
  EXPECT_TRUE(IsLoaded("a") && IsLoaded("b"));

  const Status status = pool_.Configure({.memory_bytes = 5}, {stays});
  ASSERT_FALSE(status);
  EXPECT_THAT(status.error().message, HasSubstr("loaded from the start"));
}

TEST_F(ModelPoolTest, AFailureIsToldAndTriedAgain) {
  std::atomic<bool> fails{true};
  ServedModel demo = Demo("a");
  demo.load = [&fails, load = demo.load](
                  const ModelRecipe& recipe) -> Result<std::unique_ptr<InferenceThread>> {
    if (fails) return Fail(ErrorCode::kIo, "/secret/a.gguf: gone");
    return load(recipe);
  };
  ASSERT_TRUE(pool_.Configure({.load_wait = kLong}, {demo}));
  const auto failed = pool_.Acquire("a", kStays);
  ASSERT_FALSE(failed);
  EXPECT_EQ(ErrorOf(failed).message, "the model a could not be loaded");  // paths are for the log
  EXPECT_EQ(StatusOf("a").state, ModelState::kFailed);
  EXPECT_EQ(StatusOf("a").n_failures, 1U);
  fails = false;
  EXPECT_TRUE(pool_.Acquire("a", kStays));
}

TEST_F(ModelPoolTest, PreloadTellsWhyNot) {
  ServedModel demo = Demo("a");
  demo.preload = true;
  demo.load = [](const ModelRecipe&) -> Result<std::unique_ptr<InferenceThread>> {
    throw std::bad_alloc();
  };
  ASSERT_TRUE(pool_.Configure({}, {demo}));
  const Status status = pool_.Preload();
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code, ErrorCode::kOutOfMemory);
  EXPECT_FALSE(pool_.ready());
}

TEST_F(ModelPoolTest, WhoWaitsTooLongIsToldToComeBack) {
  std::promise<void> go_on;
  ServedModel demo = Demo("a");
  demo.load = [load = demo.load, wait = go_on.get_future().share()](const ModelRecipe& recipe) {
    testing::AwaitValue("leave to go on", wait);
    return load(recipe);
  };
  ASSERT_TRUE(pool_.Configure({.load_wait = milliseconds(1)}, {demo}));
  const auto late = pool_.Acquire("a", kStays);
  ASSERT_FALSE(late);
  EXPECT_EQ(ErrorOf(late).status, 503);
  EXPECT_EQ(ErrorOf(late).message, "the model a is being loaded");
  EXPECT_GT(ErrorOf(late).retry_after, 1);
  ASSERT_TRUE(pool_.Configure({.load_wait = kLong}, {demo}));
  const auto left = pool_.Acquire("a", [] { return true; });
  ASSERT_FALSE(left);
  EXPECT_TRUE(std::holds_alternative<ClientGone>(left.error()));
  go_on.set_value();
  EXPECT_TRUE(pool_.Acquire("a", kStays));
}

TEST_F(ModelPoolTest, AnotherConfigurationKeepsWhatIsTheSame) {
  ASSERT_TRUE(pool_.Configure({.load_wait = kLong}, {Demo("a", "1"), Demo("b", "1"), Demo("c")}));
  std::optional<ModelLease> held(*pool_.Acquire("a", kStays));
  for (const char* id : {"b", "c"}) EXPECT_TRUE(pool_.Acquire(id, kStays));
  ServedModel same = Demo("b", "1");
  same.aliases = {"new"};
  ASSERT_TRUE(pool_.Configure({.load_wait = kLong}, {Demo("a", "2"), same}));
  EXPECT_EQ(StatusOf("b").n_loads, 1U);
  EXPECT_TRUE(pool_.AcquireLoaded("new"));
  EXPECT_EQ(ErrorOf(pool_.Acquire("c", kStays)).status, 404);
  // The old one answers on beside the new one.
  EXPECT_FALSE(IsLoaded("a"));
  GenerateRequest request;
  request.prompt = {1};
  EXPECT_TRUE(held->inference().Check(request));
  EXPECT_TRUE(pool_.Acquire("a", kStays));
  EXPECT_NE(&pool_.AcquireLoaded("a")->inference(), &held->inference());
  held.reset();
  EXPECT_EQ(pool_.status().size(), 2U);

  const Status twice = pool_.Configure({}, {Demo("x"), Demo("x")});
  ASSERT_FALSE(twice);
  EXPECT_EQ(twice.error().message, "two models are called 'x'");
  EXPECT_TRUE(IsLoaded("b"));
}

TEST_F(ModelPoolTest, AModelRemovedWhileItLoadsGoes) {
  for (const bool fails : {false, true}) {
    std::promise<void> go_on;
    std::atomic<bool> loading{false};
    ServedModel demo = Demo("a");
    demo.load = [&, load = demo.load](
                    const ModelRecipe& recipe) -> Result<std::unique_ptr<InferenceThread>> {
      loading = true;
      testing::AwaitValue("leave to go on", go_on.get_future());
      if (fails) return Fail(ErrorCode::kIo, "gone");
      return load(recipe);
    };
    ASSERT_TRUE(pool_.Configure({.load_wait = kLong}, {demo, Demo("b")}));
    EXPECT_FALSE(pool_.Load("a"));
    testing::Await("loading", [&] { return loading.load(); });
    ASSERT_TRUE(pool_.Configure({.load_wait = kLong}, {Demo("b")}));
    go_on.set_value();
    EXPECT_TRUE(pool_.Acquire("b", kStays));  // after the other, by the same thread
    testing::Await("one loaded model", [&] { return pool_.max_requests() == 1; });
    EXPECT_EQ(pool_.status().size(), 1U);
  }
}

TEST_F(ModelPoolTest, LoadsAndUnloadsOnRequest) {
  ASSERT_TRUE(pool_.Configure({.load_wait = kLong}, {Demo("a")}));
  EXPECT_FALSE(pool_.Load("a"));
  testing::Await("a loaded a", [&] { return IsLoaded("a"); });
  EXPECT_FALSE(pool_.Unload("a"));
  AwaitUnloaded("a");
  EXPECT_EQ(pool_.Load("b")->status, 404);
  EXPECT_EQ(pool_.Unload("b")->status, 404);
}

TEST_F(ModelPoolTest, CountsOutlastTheirModels) {
  ASSERT_TRUE(pool_.Configure({.load_wait = kLong}, {Demo("a")}));
  {
    const auto lease = pool_.Acquire("a", kStays);
    std::vector<GenerateRequest> requests(1);
    requests[0].prompt = {1, 2, 3};
    requests[0].max_tokens = 2;
    auto events = std::make_shared<GenerateQueue>();
    ASSERT_TRUE(lease->inference().Submit(requests, 0, events));
    while (true) {
      const auto event = events->Take(kLong);
      ASSERT_TRUE(event) << "no event for 30 s";
      if (event->event.finished) break;
    }
    testing::Await("counted tokens",
                   [&] { return lease->inference().status().generated_tokens > 0; });
  }
  const uint64_t n = pool_.engine_status().prompt_tokens;
  EXPECT_EQ(n, 3U);
  EXPECT_EQ(pool_.max_requests(), 1U);
  EXPECT_FALSE(pool_.Unload("a"));
  AwaitUnloaded("a");
  EXPECT_EQ(pool_.engine_status().prompt_tokens, 3U);
  EXPECT_EQ(pool_.max_requests(), 0U);
}

TEST_F(ModelPoolTest, AfterCloseNothingIsLoaded) {
  ASSERT_TRUE(pool_.Configure({.load_wait = kLong}, {Demo("a"), Demo("b")}));
  EXPECT_TRUE(pool_.Acquire("a", kStays));
  pool_.Close(std::chrono::steady_clock::now());
  EXPECT_TRUE(pool_.closed());
  EXPECT_EQ(ErrorOf(pool_.Acquire("b", kStays)).message, "the server is shutting down");
  EXPECT_EQ(pool_.Load("b")->status, 503);
}

}  // namespace
}  // namespace quern
