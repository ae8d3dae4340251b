#include "tools/serve/service_watchdog.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <future>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "server/inference/inference_thread.h"
#include "tests/testing/await.h"
#include "tests/testing/notify_socket.h"
#include "tests/testing/temp_dir.h"
#include "tests/testing/variable.h"
#include "tools/demo_model/demo_model.h"

namespace quern {
namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;
using ::testing::HasSubstr;
using testing::NotifySocket;
using testing::TempDir;
using testing::Variable;

constexpr const char* kAlive = "WATCHDOG=1";

TEST(WatchdogInterval, IsTheManagers) {
  EXPECT_EQ(WatchdogInterval().value(), microseconds(0));
  const Variable interval("WATCHDOG_USEC", "30000000");
  EXPECT_EQ(WatchdogInterval().value(), microseconds(30'000'000));
  const Variable pid("WATCHDOG_PID", std::to_string(getpid()));
  EXPECT_EQ(WatchdogInterval().value(), microseconds(30'000'000));
}

TEST(WatchdogInterval, OfAnotherProcessIsNone) {
  const Variable interval("WATCHDOG_USEC", "30000000");
  const Variable pid("WATCHDOG_PID", std::to_string(getpid() + 1));
  EXPECT_EQ(WatchdogInterval().value(), microseconds(0));
}

TEST(WatchdogInterval, IsChecked) {
  for (const char* value : {"", "0", "-1", "1s", "99999999999999999999"}) {
    const Variable interval("WATCHDOG_USEC", value);
    const auto result = WatchdogInterval();
    ASSERT_FALSE(result) << value;
    EXPECT_THAT(result.error().message, HasSubstr("WATCHDOG_USEC is '"));
  }
}

TEST(GoesOn, ForLessThanHalfAnInterval) {
  EXPECT_TRUE(GoesOn(milliseconds(0), milliseconds(100)));
  EXPECT_TRUE(GoesOn(milliseconds(49), milliseconds(100)));
  EXPECT_FALSE(GoesOn(milliseconds(50), milliseconds(100)));
}

/// An inference thread that can be made to hang, and a watchdog over it.
class ServiceWatchdogTest : public ::testing::Test {
 public:
  ~ServiceWatchdogTest() override { Release(); }

 protected:
  /// Begins an answer that does not end by itself, and that nobody reads.
  void Generate() {
    std::vector<GenerateRequest> requests(1);
    requests[0].prompt = {1};
    requests[0].ignore_eos = true;
    requests[0].context_shift_keep = 0;
    ASSERT_TRUE(inference_.Submit(requests, 0, std::make_shared<GenerateQueue>()));
  }

  /// The thread hangs after the next token of an answer, until Release. Returns when it does.
  void Hang() {
    shall_hang_ = true;
    testing::Await("that it hangs", [&] { return hangs_.load(); });
  }
  void Release() {
    shall_hang_ = false;
    shall_hang_.notify_all();
  }
  void AfterToken() {
    if (!shall_hang_) return;
    hangs_ = true;
    shall_hang_.wait(true);
  }

  static std::unique_ptr<Engine> MakeEngine() {
    const Result<GgufFile> file = GgufFile::FromMemory(DemoModelBytes(), "demo");
    return Engine::Create(Model::Load(*file).value(), {.n_ctx = 256, .n_threads = 1}).value();
  }

  const TempDir dir_;
  const NotifySocket manager_{dir_.File("notify")};
  const std::unique_ptr<ServiceNotifier> notifier_ =
      ServiceNotifier::Create(manager_.address()).value();
  std::atomic<bool> shall_hang_{false};
  std::atomic<bool> hangs_{false};
  InferenceThread inference_{MakeEngine(), 8, {.on_inter_token = [this](double) { AfterToken(); }}};
};

TEST_F(ServiceWatchdogTest, SaysThatAnIdleServerIsAlive) {
  const ServiceWatchdog watchdog(*notifier_, milliseconds(20),
                                 [&] { return inference_.stalled(); });
  for (int i = 0; i < 5; ++i) EXPECT_EQ(manager_.Receive(), kAlive);
}

TEST_F(ServiceWatchdogTest, SaysThatABusyServerIsAlive) {
  Generate();
  const ServiceWatchdog watchdog(*notifier_, milliseconds(200),
                                 [&] { return inference_.stalled(); });
  for (int i = 0; i < 3; ++i) EXPECT_EQ(manager_.Receive(), kAlive);
}

TEST_F(ServiceWatchdogTest, IsSilentWhileTheInferenceThreadHangs) {
  constexpr milliseconds kInterval(20);
  std::atomic<int> n_stalled{0};
  const ServiceWatchdog watchdog(*notifier_, kInterval, [&] {
    const auto stalled = inference_.stalled();
    if (!GoesOn(stalled, kInterval)) ++n_stalled;
    return stalled;
  });
  const auto looked = [&](int times) {
    const int end = n_stalled + times;
    testing::Await("looks at what is stalled", [&] { return n_stalled >= end; });
  };
  Generate();
  Hang();
  // A first look may have been under way when it began to hang; the second was not.
  looked(2);
  manager_.Drain();
  looked(3);
  EXPECT_EQ(manager_.Drain(), "");
  Release();
  EXPECT_EQ(manager_.Receive(), kAlive);
}

TEST_F(ServiceWatchdogTest, AnIntervalOfZeroIsNoWatchdog) {
  bool asked = false;
  {
    const ServiceWatchdog watchdog(*notifier_, microseconds(0), [&] {
      asked = true;
      return std::chrono::steady_clock::duration::zero();
    });
  }
  EXPECT_FALSE(asked);
}

}  // namespace
}  // namespace quern
