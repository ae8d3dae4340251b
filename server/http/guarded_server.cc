#include "server/http/guarded_server.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <exception>
#include <system_error>
#include <utility>

namespace quern {
namespace {

/// Requests on one connection, told to the client.
constexpr size_t kMaxRequests = 1000;
/// A client that owes bytes for less time than this is not taken for a slow one.
constexpr std::chrono::seconds kSlowAfter(1);
/// Connections beyond the limit that are told so; still more are closed without a word.
constexpr size_t kMaxRejected = 64;
/// How long to wait for descriptors or memory when there are none for a new connection.
constexpr int kScarcityMs = 50;

std::string Answer(const HttpError& error) {
  const std::string body = HttpErrorBody(error);
  const char* extra = error.status == 503   ? "Retry-After: 1\r\n"
                      : error.status == 405 ? "Allow: GET, HEAD, POST, OPTIONS\r\n"
                                            : "";
  return fmt::format(
      "HTTP/1.1 {} {}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n{}"
      "Connection: close\r\n\r\n{}",
      error.status, httplib::status_message(error.status), body.size(), extra, body);
}

}  // namespace

GuardedServer::GuardedServer(const ConnectionLimits& limits)
    : limits_(limits), stop_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  set_payload_max_length(limits.max_body_bytes);
  set_keep_alive_max_count(kMaxRequests);
  set_keep_alive_timeout(std::chrono::duration_cast<std::chrono::seconds>(limits.idle).count());
  set_tcp_nodelay(true);  // tokens are small and shall not wait for each other
  set_socket_options([](socket_t socket) {
    // Not SO_REUSEPORT, with which a second server would take half of the connections.
    const int on = 1;
    setsockopt(socket, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
  });
}

GuardedServer::~GuardedServer() {
  if (svr_sock_ != INVALID_SOCKET) close(svr_sock_);
  if (stop_ >= 0) close(stop_);
}

Result<int> GuardedServer::Bind(const std::string& host, int port) {
  if (stop_ < 0) return Fail(ErrorCode::kIo, "cannot make an eventfd: no descriptors are left");
  const int bound =
      port == 0 ? bind_to_any_port(host) : (bind_to_port(host, port) ? port : INVALID_SOCKET);
  if (bound < 0) {
    return Fail(ErrorCode::kIo,
                "cannot listen on {}:{}: the port is taken or not allowed, or this machine has no "
                "such address",
                host, port);
  }
  // A client may be gone between poll and accept, which shall not wait for the next one.
  fcntl(svr_sock_, F_SETFL, fcntl(svr_sock_, F_GETFL) | O_NONBLOCK);
  return bound;
}

void GuardedServer::Stop() const {
  const uint64_t one = 1;
  // Never read again: it wakes every thread that waits, now and later.
  [[maybe_unused]] const ssize_t n = write(stop_, &one, sizeof(one));
}

size_t GuardedServer::n_connections() const {
  const std::lock_guard lock(mutex_);
  return static_cast<size_t>(std::count_if(
      connections_.begin(), connections_.end(),
      [](const Connection& connection) { return connection.socket != INVALID_SOCKET; }));
}

void GuardedServer::Run() {
  while (true) {
    std::array<pollfd, 2> waits = {{{stop_, POLLIN, 0}, {svr_sock_, POLLIN, 0}}};
    if (poll(waits.data(), waits.size(), -1) < 0 && errno != EINTR) break;
    if (waits[0].revents != 0) break;
    if (waits[1].revents != 0) Accept();
  }
  // The library takes the closed socket for the sign to end streamed answers.
  close(svr_sock_.exchange(INVALID_SOCKET));
  for (Connection& connection : connections_) connection.thread.join();
  const std::lock_guard lock(mutex_);
  connections_.clear();
}

void GuardedServer::Accept() {
  Reap();
  const socket_t socket = accept4(svr_sock_, nullptr, nullptr, SOCK_CLOEXEC);
  if (socket == INVALID_SOCKET) {
    // A connection that was gone before it was taken is no matter; want of resources may pass.
    if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
      pollfd stop = {stop_, POLLIN, 0};
      if (!Evict()) poll(&stop, 1, kScarcityMs);
    }
    return;
  }
  const auto n_served = static_cast<size_t>(std::count_if(
      connections_.begin(), connections_.end(),
      [](const Connection& connection) { return !connection.rejected && !connection.evicted; }));
  const bool rejected = n_served >= limits_.max_connections && !Evict();
  if (connections_.size() >= limits_.max_connections + kMaxRejected) {
    close(socket);
    return;
  }
  Start(socket, rejected);
}

void GuardedServer::Reap() {
  const std::lock_guard lock(mutex_);
  for (auto at = connections_.begin(); at != connections_.end();) {
    if (!at->ended) {
      ++at;
      continue;
    }
    at->thread.join();
    at = connections_.erase(at);
  }
}

bool GuardedServer::Evict() {
  const std::lock_guard lock(mutex_);
  Connection* slowest = nullptr;
  Clock::time_point since = Clock::now() - kSlowAfter;
  for (Connection& connection : connections_) {
    const Clock::time_point waiting_since = connection.waiting_since;
    if (connection.socket == INVALID_SOCKET || connection.evicted || waiting_since > since) {
      continue;
    }
    slowest = &connection;
    since = waiting_since;
  }
  if (slowest == nullptr) return false;
  slowest->evicted = true;
  shutdown(slowest->socket, SHUT_RDWR);
  return true;
}

void GuardedServer::Start(socket_t socket, bool rejected) {
  const std::lock_guard lock(mutex_);
  Connection& connection = connections_.emplace_back();
  connection.socket = socket;
  connection.rejected = rejected;
  try {
    connection.thread = std::thread([this, &connection] { Serve(&connection); });
  } catch (const std::system_error&) {  // no more threads
    close(socket);
    connections_.pop_back();
  }
}

void GuardedServer::Serve(Connection* connection) {
  // What a handler throws is answered by the exception handler; what an answer throws while it is
  // written can only end the connection.
  try {
    std::unique_ptr<Transport> transport =
        tls_ != nullptr ? tls_->Accept(connection->socket) : PlainTransport(connection->socket);
    if (transport != nullptr) ServeRequests(*connection, std::move(transport));
  } catch (const std::exception&) {
  }
  const std::lock_guard lock(mutex_);
  shutdown(connection->socket, SHUT_RDWR);
  close(std::exchange(connection->socket, INVALID_SOCKET));
  connection->ended = true;
}

void GuardedServer::ServeRequests(Connection& connection, std::unique_ptr<Transport> transport) {
  GuardedStream stream(connection.socket, std::move(transport), stop_, limits_,
                       &connection.waiting_since);
  if (connection.rejected) {
    return Refuse(stream, {503, fmt::format("the server has its most connections, {}",
                                            limits_.max_connections)});
  }
  for (size_t n = 1; stream.AwaitRequest() && ServeRequest(stream, n == kMaxRequests); ++n) {
  }
  if (stream.misses_tls()) Refuse(stream, {400, "TLS is spoken here: use https://"});
}

bool GuardedServer::ServeRequest(GuardedStream& stream, bool last) {
  if (auto head = stream.ReadHead(); !head) {
    Refuse(stream, head.error());
    return false;
  }
  std::string remote;
  int remote_port = 0;
  stream.get_remote_ip_and_port(remote, remote_port);
  std::string local;
  int local_port = 0;
  stream.get_local_ip_and_port(local, local_port);
  bool closed = false;
  const bool answered =
      process_request(stream, remote, remote_port, local, local_port, last, closed, nullptr);
  if (stream.failure()) {
    Refuse(stream, *stream.failure());
    return false;
  }
  return stream.SkipBody() && answered && !closed && !last;
}

void GuardedServer::Refuse(GuardedStream& stream, const HttpError& error) {
  if (refusal_logger_) {
    std::string remote;
    int port = 0;
    stream.get_remote_ip_and_port(remote, port);
    refusal_logger_(remote, error);
  }
  stream.SendLast(Answer(error));
}

}  // namespace quern
