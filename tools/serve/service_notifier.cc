#include "tools/serve/service_notifier.h"

#include <fmt/format.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdlib>
#include <cstring>

#include "gguf/base/printable.h"

namespace quern {
namespace {

constexpr size_t kMostStatusBytes = 512;

std::string StatusLine(std::string_view status) {
  return "STATUS=" + Printable(status, kMostStatusBytes);
}

}  // namespace

Result<std::unique_ptr<ServiceNotifier>> ServiceNotifier::FromEnvironment() {
  const char* address = std::getenv("NOTIFY_SOCKET");
  return Create(address == nullptr ? "" : address);
}

Result<std::unique_ptr<ServiceNotifier>> ServiceNotifier::Create(std::string_view address) {
  std::unique_ptr<ServiceNotifier> notifier(new ServiceNotifier(std::string(address)));
  if (address.empty()) return notifier;
  if (address.size() < 2 || (address[0] != '/' && address[0] != '@')) {
    return Fail(ErrorCode::kInvalidArgument,
                "NOTIFY_SOCKET is {}, expected an absolute path or @name", Quoted(address));
  }
  if (address.size() >= sizeof(sockaddr_un::sun_path)) {
    return Fail(ErrorCode::kInvalidArgument,
                "NOTIFY_SOCKET is {} of {} bytes, expected less than {}", Quoted(address),
                address.size(), sizeof(sockaddr_un::sun_path));
  }
  if (address[0] == '@') notifier->address_[0] = '\0';
  notifier->socket_ = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (notifier->socket_ < 0) {
    return Fail(ErrorCode::kIo, "cannot make a socket: {}", std::strerror(errno));
  }
  return notifier;
}

ServiceNotifier::~ServiceNotifier() {
  if (socket_ >= 0) close(socket_);
}

void ServiceNotifier::Starting(std::string_view status, std::chrono::seconds patience) const {
  Send(fmt::format("EXTEND_TIMEOUT_USEC={}\n{}", std::chrono::microseconds(patience).count(),
                   StatusLine(status)));
}

void ServiceNotifier::Reloading(std::string_view status) const {
  Send("RELOADING=1\n" + StatusLine(status));
}

void ServiceNotifier::Ready(std::string_view status) const {
  Send("READY=1\n" + StatusLine(status));
}

void ServiceNotifier::Alive() const { Send("WATCHDOG=1"); }

void ServiceNotifier::Stopping(std::string_view status) const {
  Send("STOPPING=1\n" + StatusLine(status));
}

void ServiceNotifier::Send(std::string_view assignments) const {
  if (socket_ < 0) return;
  sockaddr_un to = {.sun_family = AF_UNIX, .sun_path = {}};
  std::copy(address_.begin(), address_.end(), to.sun_path);
  // An abstract name ends where the address does, and not at a zero.
  const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + address_.size());
  while (sendto(socket_, assignments.data(), assignments.size(), MSG_NOSIGNAL,
                reinterpret_cast<const sockaddr*>(&to), size) < 0 &&
         errno == EINTR) {
  }
}

}  // namespace quern
