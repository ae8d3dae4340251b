#include "tools/terminal/progress_bar.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <pty.h>
#include <unistd.h>

#include <array>
#include <cstdio>

namespace quern {
namespace {

TEST(ProgressBar, DrawsOnATerminalAndLeavesItClean) {
  int controller = -1;
  int terminal = -1;
  ASSERT_EQ(openpty(&controller, &terminal, nullptr, nullptr, nullptr), 0);
  std::fflush(stderr);
  const int saved = dup(STDERR_FILENO);
  dup2(terminal, STDERR_FILENO);
  {
    ProgressBar bar;
    bar.Show(0.5, "working");
  }
  std::fflush(stderr);
  dup2(saved, STDERR_FILENO);
  close(saved);
  close(terminal);
  // To the end: a terminal may hand over in pieces what was written in one.
  std::string text;
  std::array<char, 1000> screen{};
  for (ssize_t n = 0; (n = read(controller, screen.data(), screen.size())) > 0;) {
    text.append(screen.data(), static_cast<size_t>(n));
  }
  close(controller);
  EXPECT_THAT(text, ::testing::HasSubstr(" 50% [===============               ]"));
  EXPECT_THAT(text, ::testing::HasSubstr("working"));
  EXPECT_TRUE(text.ends_with("\r\x1b[K"));
}

TEST(ProgressBar, PrintsNothingElsewhere) {
  ::testing::internal::CaptureStderr();
  {
    ProgressBar bar;
    bar.Show(0.5, "working");
  }
  EXPECT_EQ(::testing::internal::GetCapturedStderr(), "");
}

}  // namespace
}  // namespace quern
