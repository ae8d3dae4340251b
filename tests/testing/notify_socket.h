// The service manager's side of sd_notify(3): a datagram socket for what a service says.
#pragma once

#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <string>

namespace quern::testing {

class NotifySocket {
 public:
  /// `address`: a path, or `@name` in the abstract namespace.
  explicit NotifySocket(const std::string& address) : address_(address) {
    sockaddr_un at = {.sun_family = AF_UNIX, .sun_path = {}};
    std::copy(address.begin(), address.end(), at.sun_path);
    if (address[0] == '@') at.sun_path[0] = '\0';
    const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + address.size());
    socket_ = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    is_bound_ = bind(socket_, reinterpret_cast<const sockaddr*>(&at), size) == 0;
  }
  ~NotifySocket() { close(socket_); }
  NotifySocket(const NotifySocket&) = delete;
  NotifySocket& operator=(const NotifySocket&) = delete;

  /// The next message; empty after a time that only a defect takes, and where it could not listen.
  std::string Receive() const { return is_bound_ && IsReadable(120'000) ? Read() : ""; }

  /// What has come already and was not received; the last of it, empty when there was nothing.
  std::string Drain() const {
    std::string last;
    while (IsReadable(0)) last = Read();
    return last;
  }

  const std::string& address() const { return address_; }

 private:
  bool IsReadable(int milliseconds) const {
    pollfd wanted = {.fd = socket_, .events = POLLIN, .revents = 0};
    return poll(&wanted, 1, milliseconds) == 1;
  }
  std::string Read() const {
    std::array<char, 4096> buffer;
    const ssize_t n = recv(socket_, buffer.data(), buffer.size(), 0);
    return n > 0 ? std::string(buffer.data(), static_cast<size_t>(n)) : "";
  }

  std::string address_;
  int socket_ = -1;
  bool is_bound_ = false;
};

}  // namespace quern::testing
