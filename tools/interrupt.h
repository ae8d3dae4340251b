// Ctrl-C as a request that a command looks for, instead of the end of the process.
#pragma once

namespace quern {

/// While the object lives, SIGINT is noted and ends a poll(), and never ends the process however
/// often it comes. One object at a time.
class InterruptCatcher {
 public:
  InterruptCatcher();
  ~InterruptCatcher();
  InterruptCatcher(const InterruptCatcher&) = delete;
  InterruptCatcher& operator=(const InterruptCatcher&) = delete;

  /// Whether SIGINT came since the last call.
  bool Take();
};

}  // namespace quern
