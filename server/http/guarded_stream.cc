#include "server/http/guarded_stream.h"

#include <fmt/format.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <utility>

namespace quern {
namespace {

using Clock = GuardedStream::Clock;

constexpr std::string_view kHeadEnd = "\r\n\r\n";
constexpr size_t kReceiveBytes = 16384;
/// A write has a second for every so many bytes beside its limit.
constexpr size_t kSlowestBytesPerSecond = 16384;
/// What a write has left when the server stops, and how long the last answer is waited for.
constexpr std::chrono::seconds kLastMoment(1);

short EventOf(Transport::State state) {
  return state == Transport::State::kWantRead ? POLLIN : POLLOUT;
}

/// Whole milliseconds to wait, rounded up.
int Until(Clock::time_point deadline) {
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - Clock::now());
  return static_cast<int>(std::clamp<int64_t>(left.count(), 0, 1 << 30));
}

}  // namespace

GuardedStream::GuardedStream(socket_t socket, std::unique_ptr<Transport> transport, int stop,
                             const ConnectionLimits& limits,
                             std::atomic<Clock::time_point>* waiting_since)
    : socket_(socket),
      transport_(std::move(transport)),
      stop_(stop),
      limits_(limits),
      waiting_since_(waiting_since) {}

GuardedStream::Readiness GuardedStream::WaitToReceive(Transport::State state,
                                                      Clock::time_point deadline) const {
  while (true) {
    std::array<pollfd, 2> waits = {{{stop_, POLLIN, 0}, {socket_, EventOf(state), 0}}};
    const int n = poll(waits.data(), waits.size(), Until(deadline));
    // A sender that goes on and on shall not hold up the end.
    if (waits[0].revents != 0) return Readiness::kStopping;
    if (n > 0) return Readiness::kReady;
    if (n == 0 && Clock::now() >= deadline) return Readiness::kLate;
  }
}

bool GuardedStream::WaitToSend(Transport::State state, Clock::time_point* deadline) const {
  while (true) {
    std::array<pollfd, 2> waits = {{{socket_, EventOf(state), 0}, {stop_, POLLIN, 0}}};
    int n = poll(waits.data(), waits.size(), Until(*deadline));
    if (waits[0].revents == 0 && waits[1].revents != 0) {
      *deadline = std::min(*deadline, Clock::now() + kLastMoment);
      n = poll(waits.data(), 1, Until(*deadline));
    }
    if (n > 0) return true;
    if (n == 0 && Clock::now() >= *deadline) return false;
  }
}

tl::expected<void, HttpError> GuardedStream::Receive(Clock::time_point deadline, const char* late,
                                                     const char* broken) {
  Transport::State state = Transport::State::kWantRead;
  while (true) {
    const bool pending = state == Transport::State::kWantRead && transport_->HasPending();
    switch (WaitToReceive(state, pending ? Clock::now() : deadline)) {
      case Readiness::kLate:
        if (pending) break;
        return tl::unexpected(HttpError{408, late});
      case Readiness::kStopping:
        return tl::unexpected(HttpError{503, "the server is shutting down"});
      case Readiness::kReady:
        break;
    }
    std::array<char, kReceiveBytes> buffer;
    const Transport::Moved moved = transport_->Receive(buffer);
    if (moved.state == Transport::State::kEnded) return tl::unexpected(HttpError{400, broken});
    if (moved.state == Transport::State::kMoved) {
      received_.append(buffer.data(), moved.n);
      return {};
    }
    state = moved.state;
  }
}

void GuardedStream::Take(size_t n) {
  taken_ += n;
  if (taken_ < received_.size()) return;
  received_.clear();
  taken_ = 0;
}

bool GuardedStream::AwaitRequest() {
  waiting_since_->store(Clock::now());
  const Clock::time_point deadline = Clock::now() + limits_.idle;
  while (true) {
    // RFC 9112, 2.2: empty lines before a request are passed over.
    Take(std::min(Rest().find_first_not_of("\r\n"), Rest().size()));
    if (!Rest().empty()) return true;
    if (!Receive(deadline, "", "")) return false;
  }
}

tl::expected<void, HttpError> GuardedStream::ReadHead() {
  const Clock::time_point deadline = Clock::now() + limits_.head;
  size_t end = 0;
  size_t searched = 0;
  while ((end = Rest().find(kHeadEnd, searched)) == std::string::npos) {
    if (Rest().size() > limits_.max_head_bytes) break;
    searched = Rest().size() - std::min(Rest().size(), kHeadEnd.size() - 1);
    auto more = Receive(deadline, "the request's head comes too slowly",
                        "the request breaks off in its head");
    if (!more) return more;
  }
  if (end == std::string::npos || end + kHeadEnd.size() > limits_.max_head_bytes) {
    return tl::unexpected(HttpError{
        431, fmt::format("the request's head has more than {} bytes", limits_.max_head_bytes)});
  }
  end += kHeadEnd.size();
  auto head = ParseRequestHead(Rest().substr(0, end), limits_);
  if (!head) return tl::unexpected(std::move(head.error()));
  Take(end);

  head_ = std::move(*head);
  head_read_ = 0;
  body_left_ = head_.content_length;
  chunked_.reset();
  if (head_.chunked) chunked_.emplace(limits_.max_body_bytes);
  body_deadline_ = Clock::now() + limits_.body;
  waiting_since_->store(BodyEnded() ? kNotWaiting : Clock::now());
  return {};
}

bool GuardedStream::BodyEnded() const { return chunked_ ? chunked_->ended() : body_left_ == 0; }

ssize_t GuardedStream::read(char* data, size_t size) {
  if (head_read_ < head_.text.size()) {
    const size_t n = head_.text.copy(data, size, head_read_);
    head_read_ += n;
    return static_cast<ssize_t>(n);
  }
  return ReadBody(data, size);
}

ssize_t GuardedStream::ReadBody(char* data, size_t size) {
  if (failure_) return -1;
  if (BodyEnded()) return 0;
  if (Rest().empty()) {
    auto more =
        Receive(body_deadline_, "the body comes too slowly", "the request breaks off in its body");
    if (!more) {
      failure_ = std::move(more.error());
      return -1;
    }
  }
  size_t n = std::min(size, Rest().size());
  if (chunked_) {
    auto followed = chunked_->Follow(Rest().substr(0, n));
    if (!followed) {
      failure_ = std::move(followed.error());
      return -1;
    }
    n = *followed;
  } else {
    n = static_cast<size_t>(std::min<uint64_t>(n, body_left_));
    body_left_ -= n;
  }
  Rest().copy(data, n);
  Take(n);
  if (BodyEnded()) waiting_since_->store(kNotWaiting);
  return static_cast<ssize_t>(n);
}

bool GuardedStream::SkipBody() {
  // The library did not understand this head: then it has not found the body either.
  if (head_read_ < head_.text.size() || cannot_write_) return false;
  std::array<char, kReceiveBytes> ignored;
  ssize_t n = 0;
  while ((n = ReadBody(ignored.data(), ignored.size())) > 0) {
  }
  return n == 0;
}

bool GuardedStream::Send(std::string_view data) {
  if (cannot_write_) return false;
  Clock::time_point deadline =
      Clock::now() + limits_.write + std::chrono::seconds(data.size() / kSlowestBytesPerSecond);
  Transport::State state = Transport::State::kWantWrite;
  while (!data.empty()) {
    if (!WaitToSend(state, &deadline)) break;
    const Transport::Moved moved = transport_->Send(data);
    if (moved.state == Transport::State::kEnded) break;
    if (moved.state == Transport::State::kMoved) {
      data.remove_prefix(moved.n);
      state = Transport::State::kWantWrite;
    } else {
      state = moved.state;
    }
    // The socket's buffer takes a slow reader's bytes in drops: each is no new lease of time.
    if (!data.empty() && Clock::now() >= deadline) break;
  }
  cannot_write_ = !data.empty();
  return !cannot_write_;
}

ssize_t GuardedStream::write(const char* data, size_t size) {
  if (failure_) return static_cast<ssize_t>(size);
  return Send({data, size}) ? static_cast<ssize_t>(size) : -1;
}

void GuardedStream::SendLast(std::string_view answer) {
  if (!Send(answer)) return;
  transport_->EndSending();
  const Clock::time_point deadline = Clock::now() + kLastMoment;
  do {
    Take(Rest().size());
  } while (Receive(deadline, "", ""));
}

socket_t GuardedStream::socket() const {
  transport_->ShowEnd();
  return socket_;
}

bool GuardedStream::is_readable() const { return !Rest().empty() || is_writable(); }

bool GuardedStream::is_writable() const {
  return !cannot_write_ && httplib::detail::is_socket_alive(socket());
}

void GuardedStream::get_remote_ip_and_port(std::string& ip, int& port) const {
  httplib::detail::get_remote_ip_and_port(socket_, ip, port);
}

void GuardedStream::get_local_ip_and_port(std::string& ip, int& port) const {
  httplib::detail::get_local_ip_and_port(socket_, ip, port);
}

}  // namespace quern
