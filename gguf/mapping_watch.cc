#include "gguf/mapping_watch.h"

#include <unistd.h>

#include <atomic>
#include <csignal>
#include <mutex>

#include "gguf/base/check.h"

namespace quern {
namespace {

/// One mapping, in a list that only grows: the handler may walk it at any time and without a lock,
/// so that nodes are never freed, only used again.
struct Watched {
  std::atomic<const std::byte*> begin{nullptr};  ///< null: free
  std::atomic<size_t> size{0};
  std::string message;  ///< changes only while the node is free, when no reader can fault in it
  Watched* next = nullptr;
};

// A signal handler can reach nothing but globals.
std::atomic<Watched*> watched_list{nullptr};
struct sigaction previous_action;

extern "C" void OnBusError(int signal, siginfo_t* info, void* /*context*/) {
  const auto* address = static_cast<const std::byte*>(info->si_addr);
  const bool is_fault = info->si_code > 0;  // else another process sent it, and there is no address
  for (const Watched* watched = watched_list; watched != nullptr && is_fault;
       watched = watched->next) {
    const std::byte* begin = watched->begin;
    if (begin == nullptr || address < begin || address >= begin + watched->size) continue;
    const ssize_t ignored = write(STDERR_FILENO, watched->message.data(), watched->message.size());
    static_cast<void>(ignored);
    _exit(1);
  }
  sigaction(SIGBUS, &previous_action, nullptr);
  raise(signal);
}

void InstallHandler() {
  struct sigaction action = {};
  action.sa_sigaction = OnBusError;
  action.sa_flags = SA_SIGINFO;
  sigaction(SIGBUS, &action, &previous_action);
}

/// A node with no mapping, under the lock of the list.
Watched& FreeNode() {
  for (Watched* watched = watched_list; watched != nullptr; watched = watched->next) {
    if (watched->begin == nullptr) return *watched;
  }
  auto* added = new Watched;
  added->next = watched_list;
  watched_list = added;
  return *added;
}

std::mutex& ListLock() {
  static std::mutex lock;
  return lock;
}

}  // namespace

void WatchMapping(std::span<const std::byte> mapping, const std::string& shown_path) {
  const std::lock_guard guard(ListLock());
  if (watched_list == nullptr) InstallHandler();  // the first ever, since nodes stay
  Watched& watched = FreeNode();
  watched.message = "error: " + shown_path + ": became shorter while it was read\n";
  watched.size = mapping.size();
  watched.begin = mapping.data();
}

void UnwatchMapping(std::span<const std::byte> mapping) {
  const std::lock_guard guard(ListLock());
  for (Watched* watched = watched_list; watched != nullptr; watched = watched->next) {
    if (watched->begin != mapping.data()) continue;
    watched->begin = nullptr;
    return;
  }
  QUERN_DCHECK(!"a watched mapping");
}

}  // namespace quern
