// A program at a terminal of its own, as a person uses it.
#pragma once

#include <sys/types.h>

#include <string>
#include <string_view>
#include <vector>

namespace quern::testing {

class Terminal {
 public:
  /// Starts `arguments`, the path of the program first.
  explicit Terminal(const std::vector<std::string>& arguments);
  /// Ends the program if it still runs.
  ~Terminal();
  Terminal(const Terminal&) = delete;
  Terminal& operator=(const Terminal&) = delete;

  /// Types `keys`: "\r" is Enter, "\x03" Ctrl-C.
  void Type(std::string_view keys) const;

  /// Reads the screen until `text` comes, or `other` if there is one, and goes on behind it the
  /// next time. False, with what came instead as a test failure, when the program ends before or
  /// nothing comes for a minute.
  bool WaitFor(std::string_view text, std::string_view other = "");

  /// Waits for the program's end; its exit code, or -1 when it hangs or a signal ended it.
  int ExitCode();

 private:
  bool ReadMore();

  int fd_ = -1;
  pid_t child_ = -1;
  std::string all_;     ///< that the program ever wrote
  std::string screen_;  ///< of it, what WaitFor has not passed
};

}  // namespace quern::testing
