#include "runtime/machine/sandbox.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <new>
#include <utility>

namespace quern {
namespace {

/// Exit codes of the process.
constexpr int kDone = 0;
constexpr int kOutOfMemory = 3;
constexpr int kThrew = 4;

/// Against a process that neither answers nor uses CPU time. Well above any limit of CPU time, as
/// many processes may share a core.
constexpr timeval kMostWait = {.tv_sec = 120, .tv_usec = 0};

constexpr int kSocket = 3;  ///< its number in the process

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool kHasSanitizer = true;
#elif defined(__has_feature)
constexpr bool kHasSanitizer = __has_feature(address_sanitizer) || __has_feature(thread_sanitizer);
#else
constexpr bool kHasSanitizer = false;
#endif

bool SendAll(int socket, const void* data, size_t size) {
  const auto* bytes = static_cast<const char*>(data);
  while (size > 0) {
    const ssize_t n = send(socket, bytes, size, MSG_NOSIGNAL);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return false;
    bytes += n;
    size -= static_cast<size_t>(n);
  }
  return true;
}

bool ReceiveAll(int socket, void* data, size_t size) {
  auto* bytes = static_cast<char*>(data);
  while (size > 0) {
    const ssize_t n = recv(socket, bytes, size, 0);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return false;
    bytes += n;
    size -= static_cast<size_t>(n);
  }
  return true;
}

/// Messages are a 64-bit length and as many bytes.
bool SendMessage(int socket, std::string_view message) {
  const uint64_t size = message.size();
  return SendAll(socket, &size, sizeof(size)) && SendAll(socket, message.data(), message.size());
}

bool ReceiveMessage(int socket, uint64_t most, std::string& message) {
  uint64_t size = 0;
  if (!ReceiveAll(socket, &size, sizeof(size)) || size > most) return false;
  message.resize(size);
  return ReceiveAll(socket, message.data(), size);
}

void SetLimit(__rlimit_resource resource, uint64_t soft) {
  rlimit limit{};
  getrlimit(resource, &limit);
  limit.rlim_cur = std::min<rlim_t>(soft, limit.rlim_max);
  setrlimit(resource, &limit);
}

/// After this much more CPU time the process gets SIGPROF, which ends it.
void StartTimer(std::chrono::milliseconds cpu_time) {
  const auto ms = cpu_time.count();
  const itimerval timer = {.it_interval = {},
                           .it_value = {.tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000}};
  setitimer(ITIMER_PROF, &timer, nullptr);
}

/// Bytes that count for RLIMIT_DATA already: the copy of the parent's heap.
uint64_t DataBytes() {
  std::ifstream statm("/proc/self/statm");
  uint64_t pages[6] = {};
  for (uint64_t& field : pages) statm >> field;
  return pages[5] * static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
}

/// Keeps nothing of the parent's but the socket, and no signal that would not end the process.
void Isolate(int socket) {
  for (const int signal : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGPROF, SIGTERM}) {
    std::signal(signal, SIG_DFL);
  }
  std::signal(SIGINT, SIG_IGN);  // the terminal's Ctrl-C is meant for the parent, which may go on
  sigset_t none;
  sigemptyset(&none);
  pthread_sigmask(SIG_SETMASK, &none, nullptr);

  dup2(socket, kSocket);
  close_range(kSocket + 1, ~0U, 0);
  const int nothing = open("/dev/null", O_RDWR | O_CLOEXEC);
  for (const int standard : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) dup2(nothing, standard);
  SetLimit(RLIMIT_CORE, 0);
}

}  // namespace

Sandbox::Sandbox(Function function, SandboxLimits limits)
    : function_(std::move(function)), limits_(limits) {}

Sandbox::~Sandbox() { Stop(); }

Result<std::string> Sandbox::Ask(std::string_view request) {
  const std::lock_guard lock(mutex_);
  std::string answer;
  // What earlier requests left behind must not be this one's fault: it gets a fresh process then.
  if (process_ >= 0) {
    if (Exchange(request, answer)) return answer;
    Stop();
  }
  if (Status status = Start(); !status) return Propagate(status);
  if (Exchange(request, answer)) return answer;
  return Fail(ErrorCode::kUnsupported, "{}", Stop());
}

Status Sandbox::Start() {
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) {
    return Fail(ErrorCode::kIo, "cannot make a socket: {}", std::strerror(errno));
  }
  setsockopt(ends[0], SOL_SOCKET, SO_RCVTIMEO, &kMostWait, sizeof(kMostWait));
  setsockopt(ends[0], SOL_SOCKET, SO_SNDTIMEO, &kMostWait, sizeof(kMostWait));
  const pid_t process = fork();
  if (process == 0) Serve(ends[1]);
  const int error = errno;
  close(ends[1]);
  if (process < 0) {
    close(ends[0]);
    return Fail(ErrorCode::kIo, "cannot start a process: {}", std::strerror(error));
  }
  process_ = process;
  socket_ = ends[0];
  return {};
}

bool Sandbox::Exchange(std::string_view request, std::string& answer) const {
  return SendMessage(socket_, request) && ReceiveMessage(socket_, limits_.memory_bytes, answer);
}

std::string Sandbox::Stop() {
  if (process_ < 0) return "";
  close(std::exchange(socket_, -1));
  kill(process_, SIGKILL);  // one that has ended already keeps its own reason
  int status = 0;
  pid_t ended = -1;
  do {
    ended = waitpid(process_, &status, 0);
  } while (ended < 0 && errno == EINTR);
  process_ = -1;
  if (WIFEXITED(status) && WEXITSTATUS(status) == kOutOfMemory) {
    return fmt::format("needs more than {} MiB of memory", limits_.memory_bytes >> 20);
  }
  if (WIFSIGNALED(status) && WTERMSIG(status) == SIGPROF) {
    return fmt::format("does not come to an end within {} ms", limits_.cpu_time.count());
  }
  if (WIFSIGNALED(status) && WTERMSIG(status) != SIGKILL) {
    return fmt::format("crashed (SIG{})", sigabbrev_np(WTERMSIG(status)));
  }
  return "ended without an answer";
}

/// The life of the process. It never returns into the parent's code, and ends without destructors
/// or exit handlers, which are the parent's.
void Sandbox::Serve(int socket) const {
  Isolate(socket);
  if (!kHasSanitizer) SetLimit(RLIMIT_DATA, DataBytes() + limits_.memory_bytes);
  std::set_new_handler([] { _exit(kOutOfMemory); });
  try {
    std::string request;
    while (ReceiveMessage(kSocket, SIZE_MAX, request)) {
      StartTimer(limits_.cpu_time);
      if (!SendMessage(kSocket, function_(std::move(request)))) break;
    }
    _exit(kDone);
  } catch (...) {
    _exit(kThrew);
  }
}

}  // namespace quern
