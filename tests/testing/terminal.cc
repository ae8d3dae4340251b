#include "tests/testing/terminal.h"

#include <gtest/gtest.h>
#include <poll.h>
#include <pty.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <cstdlib>
#include <utility>

namespace quern::testing {

Terminal::Terminal(const std::vector<std::string>& arguments) {
  std::vector<char*> argv;
  for (const std::string& argument : arguments) argv.push_back(const_cast<char*>(argument.c_str()));
  argv.push_back(nullptr);
  winsize size = {};
  size.ws_row = 40;
  size.ws_col = 100;
  setenv("TERM", "xterm", 1);
  child_ = forkpty(&fd_, nullptr, nullptr, &size);
  if (child_ == 0) {
    execv(argv.front(), argv.data());
    _exit(127);
  }
  EXPECT_GT(child_, 0);
}

Terminal::~Terminal() {
  if (child_ > 0) {
    kill(child_, SIGKILL);
    waitpid(child_, nullptr, 0);
  }
  close(fd_);
}

void Terminal::Type(std::string_view keys) const {
  EXPECT_EQ(write(fd_, keys.data(), keys.size()), static_cast<ssize_t>(keys.size()));
}

bool Terminal::WaitFor(std::string_view text, std::string_view other) {
  for (;;) {
    for (const std::string_view wanted : {text, other}) {
      const size_t at = wanted.empty() ? std::string::npos : screen_.find(wanted);
      if (at != std::string::npos) {
        screen_.erase(0, at + wanted.size());
        return true;
      }
    }
    if (!ReadMore()) {
      ADD_FAILURE() << "no '" << text << "' in the last " << screen_.size() << " bytes of:\n"
                    << all_;
      return false;
    }
  }
}

int Terminal::ExitCode() {
  while (ReadMore()) {
  }
  kill(child_, SIGKILL);  // nothing to a program that has ended, an end to one that hangs
  int status = 0;
  waitpid(std::exchange(child_, -1), &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

bool Terminal::ReadMore() {
  constexpr int kMostMilliseconds = 60000;
  pollfd screen = {fd_, POLLIN, 0};
  if (poll(&screen, 1, kMostMilliseconds) <= 0) return false;
  std::array<char, 4096> chunk{};
  const ssize_t n = read(fd_, chunk.data(), chunk.size());
  if (n <= 0) return false;  // EIO at the program's end
  screen_.append(chunk.data(), static_cast<size_t>(n));
  all_.append(chunk.data(), static_cast<size_t>(n));
  return true;
}

}  // namespace quern::testing
