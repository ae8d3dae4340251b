#include "server/http/transport.h"

#include <sys/socket.h>

#include <cerrno>

namespace quern {
namespace {

class Plain final : public Transport {
 public:
  explicit Plain(int socket) : socket_(socket) {}

  Moved Receive(std::span<char> into) override {
    while (true) {
      const ssize_t n = recv(socket_, into.data(), into.size(), MSG_DONTWAIT);
      if (n > 0) return {State::kMoved, static_cast<size_t>(n)};
      if (n < 0 && errno == EINTR) continue;
      return {n < 0 && errno == EAGAIN ? State::kWantRead : State::kEnded};
    }
  }

  Moved Send(std::string_view bytes) override {
    while (true) {
      const ssize_t n = send(socket_, bytes.data(), bytes.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
      if (n > 0) return {State::kMoved, static_cast<size_t>(n)};
      if (n < 0 && errno == EINTR) continue;
      return {n < 0 && errno == EAGAIN ? State::kWantWrite : State::kEnded};
    }
  }

  void EndSending() override { shutdown(socket_, SHUT_WR); }

 private:
  int socket_;
};

}  // namespace

std::unique_ptr<Transport> PlainTransport(int socket) { return std::make_unique<Plain>(socket); }

}  // namespace quern
