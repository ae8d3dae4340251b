#include "tools/terminal/interrupt.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdint>

namespace quern {
namespace {

// A signal handler can reach nothing but a global.
volatile std::sig_atomic_t event_of_interrupts = -1;

extern "C" void OnInterrupt(int /*signal*/) {
  const int saved_errno = errno;
  static_cast<void>(eventfd_write(event_of_interrupts, 1));
  errno = saved_errno;
}

}  // namespace

InterruptCatcher::InterruptCatcher() : event_(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)) {
  event_of_interrupts = event_;
  struct sigaction action = {};
  action.sa_handler = OnInterrupt;
  action.sa_flags = SA_RESTART;  // an interrupted write would lose a part of the answer
  sigaction(SIGINT, &action, nullptr);
}

InterruptCatcher::~InterruptCatcher() {
  std::signal(SIGINT, SIG_DFL);
  close(event_);
}

bool InterruptCatcher::Take() const {
  eventfd_t count = 0;
  return eventfd_read(event_, &count) == 0;
}

}  // namespace quern
