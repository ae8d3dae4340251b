#include "tools/interrupt.h"

#include <csignal>

namespace quern {
namespace {

// A signal handler can reach nothing but a global.
volatile std::sig_atomic_t interrupted = 0;

extern "C" void OnInterrupt(int /*signal*/) { interrupted = 1; }

}  // namespace

InterruptCatcher::InterruptCatcher() {
  interrupted = 0;
  struct sigaction action = {};
  action.sa_handler = OnInterrupt;
  action.sa_flags = SA_RESTART;  // an interrupted write would lose a part of the answer
  sigaction(SIGINT, &action, nullptr);
}

InterruptCatcher::~InterruptCatcher() { std::signal(SIGINT, SIG_DFL); }

bool InterruptCatcher::Take() {
  const bool was_interrupted = interrupted != 0;
  interrupted = 0;
  return was_interrupted;
}

}  // namespace quern
