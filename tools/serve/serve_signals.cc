#include "tools/serve/serve_signals.h"

#include <semaphore.h>

#include <csignal>

namespace quern {
namespace {

sem_t signalled;
volatile std::sig_atomic_t stop_asked = 0;
volatile std::sig_atomic_t reload_asked = 0;
volatile std::sig_atomic_t reopen_asked = 0;

extern "C" void OnSignal(int signal) {
  (signal == SIGHUP ? reload_asked : signal == SIGUSR1 ? reopen_asked : stop_asked) = 1;
  sem_post(&signalled);
}

void Catch(int signal, unsigned int flags) {
  struct sigaction action = {};
  action.sa_handler = OnSignal;
  action.sa_flags = static_cast<int>(flags);
  sigaction(signal, &action, nullptr);
}

}  // namespace

ServeSignals::ServeSignals() { sem_init(&signalled, 0, 0); }

void ServeSignals::CatchReload() { Catch(SIGHUP, SA_RESTART); }

void ServeSignals::CatchReopen() { Catch(SIGUSR1, SA_RESTART); }

void ServeSignals::CatchStop() {
  Catch(SIGINT, SA_RESETHAND | SA_RESTART);
  Catch(SIGTERM, SA_RESETHAND | SA_RESTART);
}

ServeSignals::Asked ServeSignals::Wait() {
  while (true) {
    if (stop_asked != 0) return Asked::kStop;
    if (reload_asked != 0) {
      reload_asked = 0;
      return Asked::kReload;
    }
    if (reopen_asked != 0) {
      reopen_asked = 0;
      return Asked::kReopenLogs;
    }
    sem_wait(&signalled);
  }
}

}  // namespace quern
