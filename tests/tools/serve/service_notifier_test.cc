#include "tools/serve/service_notifier.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <string>

#include "tests/testing/notify_socket.h"
#include "tests/testing/temp_dir.h"
#include "tests/testing/variable.h"

namespace quern {
namespace {

using ::testing::HasSubstr;
using testing::NotifySocket;
using testing::TempDir;
using testing::Variable;

void ExpectMessages(const NotifySocket& manager) {
  const Variable variable("NOTIFY_SOCKET", manager.address());
  const auto notifier = ServiceNotifier::FromEnvironment();
  ASSERT_TRUE(notifier) << notifier.error().message;
  (*notifier)->Starting("Loading: 3%", std::chrono::seconds(5));
  EXPECT_EQ(manager.Receive(), "EXTEND_TIMEOUT_USEC=5000000\nSTATUS=Loading: 3%");
  (*notifier)->Ready("demo at http://127.0.0.1:8080");
  EXPECT_EQ(manager.Receive(), "READY=1\nSTATUS=demo at http://127.0.0.1:8080");
  (*notifier)->Alive();
  EXPECT_EQ(manager.Receive(), "WATCHDOG=1");
  (*notifier)->Reloading("keys");
  EXPECT_EQ(manager.Receive(), "RELOADING=1\nSTATUS=keys");
  (*notifier)->Stopping("30 s");
  EXPECT_EQ(manager.Receive(), "STOPPING=1\nSTATUS=30 s");
}

TEST(ServiceNotifier, ReachesASocketByItsPath) {
  const TempDir dir;
  ExpectMessages(NotifySocket(dir.File("notify")));
}

TEST(ServiceNotifier, ReachesAnAbstractSocket) {
  ExpectMessages(NotifySocket("@quern-test-" + std::to_string(getpid())));
}

TEST(ServiceNotifier, AStatusAddsNoLine) {
  const TempDir dir;
  const NotifySocket manager(dir.File("notify"));
  const auto notifier = ServiceNotifier::Create(manager.address());
  ASSERT_TRUE(notifier);
  (*notifier)->Ready("a\nWATCHDOG=trigger\xff");
  EXPECT_EQ(manager.Receive(), "READY=1\nSTATUS=a\\nWATCHDOG=trigger\\xff");
}

TEST(ServiceNotifier, IsSilentWithoutAManager) {
  const auto notifier = ServiceNotifier::FromEnvironment();
  ASSERT_TRUE(notifier);
  (*notifier)->Ready("nobody hears it");
}

TEST(ServiceNotifier, AManagerThatIsAwayForAWhileIsNoMatter) {
  const TempDir dir;
  const auto notifier = ServiceNotifier::Create(dir.File("notify"));
  ASSERT_TRUE(notifier);
  (*notifier)->Alive();
  const NotifySocket manager(dir.File("notify"));
  (*notifier)->Ready("x");
  EXPECT_EQ(manager.Receive(), "READY=1\nSTATUS=x");
}

TEST(ServiceNotifier, RefusesOtherAddresses) {
  const auto error = [](const std::string& address) {
    const auto notifier = ServiceNotifier::Create(address);
    return notifier ? "no error" : notifier.error().message;
  };
  EXPECT_THAT(error("run/notify"),
              HasSubstr("NOTIFY_SOCKET is 'run/notify', expected an absolute path or @name"));
  EXPECT_THAT(error("vsock:2:1234"), HasSubstr("expected an absolute path or @name"));
  EXPECT_THAT(error("@"), HasSubstr("expected an absolute path or @name"));
  EXPECT_THAT(error("/" + std::string(107, 'x')),
              HasSubstr("of 108 bytes, expected less than 108"));
  EXPECT_EQ(error("/" + std::string(106, 'x')), "no error");
}

}  // namespace
}  // namespace quern
