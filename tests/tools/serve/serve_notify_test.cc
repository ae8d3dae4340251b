// `quern serve` as a service manager runs it: what it says from its start to its end.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <httplib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <regex>
#include <string>
#include <utility>

#include "tests/testing/await.h"
#include "tests/testing/notify_socket.h"
#include "tests/testing/temp_dir.h"
#include "tests/testing/write_file.h"

namespace quern {
namespace {

using testing::NotifySocket;
using ::testing::StartsWith;
using testing::TempDir;

/// `quern serve` on a free port, with `manager` for a service manager that has a watchdog.
class Service {
 public:
  explicit Service(const NotifySocket& manager, const std::string& key_file = "") {
    process_ = fork();
    if (process_ != 0) return;
    setenv("NOTIFY_SOCKET", manager.address().c_str(), 1);
    setenv("WATCHDOG_PID", std::to_string(getpid()).c_str(), 1);
    setenv("WATCHDOG_USEC", "200000", 1);
    const int nothing = open("/dev/null", O_WRONLY);
    dup2(nothing, STDOUT_FILENO);
    const char* has_keys = key_file.empty() ? nullptr : "--api-key-file";
    execl(QUERN_EXECUTABLE, QUERN_EXECUTABLE, "serve", "--port", "0", has_keys, key_file.c_str(),
          nullptr);
    _exit(127);
  }
  ~Service() {
    if (process_ <= 0) return;
    kill(process_, SIGKILL);
    waitpid(process_, nullptr, 0);
  }
  Service(const Service&) = delete;
  Service& operator=(const Service&) = delete;

  void Terminate() const { kill(process_, SIGTERM); }
  void Reload() const { kill(process_, SIGHUP); }
  /// Waits for its end; -1 when a signal ended it.
  int ExitCode() {
    int status = 0;
    testing::Await("the end of the service",
                   [&] { return waitpid(process_, &status, WNOHANG) != 0; });
    process_ = -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  }

 private:
  pid_t process_;
};

/// The next message that does not begin with `passed_over`.
std::string NextBut(const NotifySocket& manager, const std::string& passed_over) {
  std::string message = manager.Receive();
  while (message.starts_with(passed_over)) message = manager.Receive();
  return message;
}

TEST(ServeNotify, FromStartToEnd) {
  const TempDir dir;
  const NotifySocket manager(dir.File("notify"));
  Service service(manager);
  EXPECT_EQ(manager.Receive(),
            "EXTEND_TIMEOUT_USEC=300000000\nSTATUS=Loading built-in demo model: 0%");

  const std::string ready = NextBut(manager, "EXTEND_TIMEOUT_USEC=");
  ASSERT_THAT(ready, StartsWith("READY=1\nSTATUS="));
  std::smatch address;
  ASSERT_TRUE(std::regex_search(ready, address, std::regex(" at http://127\\.0\\.0\\.1:(\\d+)$")))
      << ready;
  httplib::Client client("127.0.0.1", std::stoi(address[1]));
  const auto health = client.Get("/health");
  ASSERT_TRUE(health);
  EXPECT_EQ(health->status, 200);

  for (int i = 0; i < 3; ++i) EXPECT_EQ(manager.Receive(), "WATCHDOG=1");

  service.Terminate();
  EXPECT_THAT(NextBut(manager, "WATCHDOG=1"), StartsWith("STOPPING=1\nSTATUS="));
  EXPECT_EQ(service.ExitCode(), 0);
}

TEST(ServeNotify, AReloadHasABeginningAndAnEnd) {
  const TempDir dir;
  const NotifySocket manager(dir.File("notify"));
  testing::WriteFile(dir.File("keys"), "secret\n");
  const Service service(manager, dir.File("keys"));
  const std::string ready = NextBut(manager, "EXTEND_TIMEOUT_USEC=");
  ASSERT_THAT(ready, StartsWith("READY=1\nSTATUS="));

  service.Reload();
  EXPECT_THAT(NextBut(manager, "WATCHDOG=1"), StartsWith("RELOADING=1\nSTATUS="));
  EXPECT_EQ(NextBut(manager, "WATCHDOG=1"), ready);

  testing::WriteFile(dir.File("keys"), "# none\n");
  service.Reload();
  EXPECT_THAT(NextBut(manager, "WATCHDOG=1"), StartsWith("RELOADING=1\nSTATUS="));
  EXPECT_EQ(NextBut(manager, "WATCHDOG=1"),
            ready + "; keys, certificate and screening not reloaded: " + dir.File("keys") +
                " has no API key, expected one a line");
}

}  // namespace
}  // namespace quern
