// What signals ask of `quern serve`.
#pragma once

#include <cstdint>

namespace quern {

/// One at a time: a signal handler can reach nothing but globals.
class ServeSignals {
 public:
  enum class Asked : uint8_t { kReload, kReopenLogs, kStop };

  ServeSignals();

  /// From here on SIGHUP asks to reload.
  static void CatchReload();
  /// From here on SIGUSR1 asks to open the logs again.
  static void CatchReopen();
  /// From here on the first SIGINT or SIGTERM asks to stop; a second one ends the process at once.
  static void CatchStop();

  /// Waits for the next of what is caught.
  static Asked Wait();
};

}  // namespace quern
