// A client that sends what no HTTP library would.
#pragma once

#include <arpa/inet.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <string>
#include <string_view>
#include <thread>

#include "tests/testing/await.h"

namespace quern {

class RawClient {
 public:
  /// With `receive_bytes`, a socket that takes little at a time.
  explicit RawClient(int port, int receive_bytes = 0)
      : socket_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    if (receive_bytes > 0) {
      setsockopt(socket_, SOL_SOCKET, SO_RCVBUF, &receive_bytes, sizeof(receive_bytes));
    }
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<uint16_t>(port));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    const timeval deadline = {.tv_sec = testing::kAwaitDeadline.count(), .tv_usec = 0};
    setsockopt(socket_, SOL_SOCKET, SO_RCVTIMEO, &deadline, sizeof(deadline));
    setsockopt(socket_, SOL_SOCKET, SO_SNDTIMEO, &deadline, sizeof(deadline));
    connected_ = connect(socket_, reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0;
  }
  ~RawClient() { close(socket_); }
  RawClient(const RawClient&) = delete;
  RawClient& operator=(const RawClient&) = delete;

  bool connected() const { return connected_; }
  int descriptor() const { return socket_; }

  /// False when the server has closed the connection.
  bool Send(std::string_view bytes) const {
    while (!bytes.empty()) {
      const ssize_t n = send(socket_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (n < 0) return false;
      bytes.remove_prefix(static_cast<size_t>(n));
    }
    return true;
  }

  /// Sends `bytes` one by one until the server answers or closes.
  void Trickle(std::string_view bytes, std::chrono::milliseconds pause) const {
    for (const char& byte : bytes) {
      pollfd wait = {socket_, POLLIN, 0};
      if (!Send({&byte, 1}) || poll(&wait, 1, static_cast<int>(pause.count())) > 0) return;
    }
  }

  /// Tells the server that nothing more is sent.
  void EndSending() const { shutdown(socket_, SHUT_WR); }

  /// Bytes that come up to `end`, or up to the end of the connection where that is before.
  std::string ReadTo(std::string_view end) const {
    std::string received;
    std::array<char, 4096> buffer;
    while (end.empty() || received.find(end) == std::string::npos) {
      const ssize_t n = recv(socket_, buffer.data(), buffer.size(), 0);
      if (n < 0 && errno == EAGAIN) {
        testing::FailAwaiting(end.empty() ? "the end of a connection" : end);
      }
      if (n <= 0) break;
      received.append(buffer.data(), static_cast<size_t>(n));
    }
    return received;
  }
  std::string ReadAll() const { return ReadTo(""); }

 private:
  int socket_;
  bool connected_ = false;
};

}  // namespace quern
