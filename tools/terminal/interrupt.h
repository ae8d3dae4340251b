// Ctrl-C as a request that a command looks for, instead of the end of the process.
#pragma once

namespace quern {

/// While the object lives, SIGINT is noted and never ends the process, however often it comes. One
/// object at a time.
class InterruptCatcher {
 public:
  InterruptCatcher();
  ~InterruptCatcher();
  InterruptCatcher(const InterruptCatcher&) = delete;
  InterruptCatcher& operator=(const InterruptCatcher&) = delete;

  /// Whether SIGINT came since the last call.
  bool Take() const;

  /// Readable, for poll(), while there is something to take: a signal between a look and a wait
  /// would be missed, and any thread may be the one that gets it.
  int event() const { return event_; }

 private:
  int event_;
};

}  // namespace quern
