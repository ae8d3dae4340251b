#include "runtime/machine/sandbox.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <stdexcept>
#include <string>
#include <vector>

namespace quern {
namespace {

using ::testing::AnyOf;
using ::testing::HasSubstr;

std::string ErrorOf(const Result<std::string>& answer) {
  return answer ? "no error" : answer.error().message;
}

TEST(Sandbox, AnswersInOneOtherProcess) {
  Sandbox sandbox([n = 0](const std::string& request) mutable {
    return request == "pid" ? std::to_string(getpid()) : request + std::to_string(++n);
  });
  EXPECT_EQ(sandbox.Ask("a").value_or(""), "a1");
  EXPECT_EQ(sandbox.Ask("b").value_or(""), "b2");
  EXPECT_NE(sandbox.Ask("pid").value_or(""), std::to_string(getpid()));
}

TEST(Sandbox, PassesLongAndBinaryTexts) {
  Sandbox sandbox([](const std::string& request) { return request + request; });
  EXPECT_EQ(sandbox.Ask("").value_or("no"), "");
  std::string text(5 << 20, '\0');
  text[77] = '\xff';
  EXPECT_EQ(sandbox.Ask(text).value_or(""), text + text);
}

TEST(Sandbox, CrashesAreErrorsAndTheNextRequestIsServed) {
  Sandbox sandbox([](const std::string& request) {
    if (request == "abort") std::abort();
    if (request == "throw") throw std::runtime_error("no");
    if (request == "leave") _exit(0);
    return request;
  });
  for (int i = 0; i < 2; ++i) {
    EXPECT_EQ(ErrorOf(sandbox.Ask("abort")), "crashed (SIGABRT)");
    EXPECT_EQ(ErrorOf(sandbox.Ask("throw")), "ended without an answer");
    EXPECT_EQ(sandbox.Ask("a").value_or(""), "a");
    EXPECT_EQ(ErrorOf(sandbox.Ask("leave")), "ended without an answer");
    EXPECT_EQ(sandbox.Ask("b").value_or(""), "b");
  }
}

/// What the last request left behind is not this one's fault.
TEST(Sandbox, AProcessThatFailsLaterIsReplaced) {
  Sandbox sandbox([n = 0](std::string request) mutable {
    if (++n == 3) std::abort();
    return request;
  });
  for (const std::string request : {"a", "b", "c", "d", "e"}) {
    EXPECT_EQ(sandbox.Ask(request).value_or(""), request);
  }
}

TEST(Sandbox, StopsWhatDoesNotEnd) {
  Sandbox sandbox(
      [](std::string request) {
        for (volatile bool on = true; on;) {
        }
        return request;
      },
      {.cpu_time = std::chrono::milliseconds(300)});
  EXPECT_EQ(ErrorOf(sandbox.Ask("")), "does not come to an end within 300 ms");
}

TEST(Sandbox, StopsWhatTakesAllMemory) {
  Sandbox sandbox(
      [](std::string request) {
        while (true) request.append(1 << 16, 'x');
        return request;
      },
      {.cpu_time = std::chrono::milliseconds(300)});
  // Sanitizers cannot live under a limit of memory.
  EXPECT_THAT(ErrorOf(sandbox.Ask("")), AnyOf(HasSubstr("needs more than 256 MiB"),
                                              HasSubstr("come to an end"), HasSubstr("ended")));
}

TEST(Sandbox, TheTerminalsInterruptDoesNotReachIt) {
  Sandbox sandbox([](const std::string& /*request*/) {
    std::raise(SIGINT);
    return std::string("still here");
  });
  EXPECT_EQ(sandbox.Ask("").value_or(""), "still here");
}

}  // namespace
}  // namespace quern
