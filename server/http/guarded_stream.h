// One connection to the HTTP library: every read and write has a deadline, and a body its length.
#pragma once

#include <httplib.h>

#include <atomic>
#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "server/http/chunked_framing.h"
#include "server/http/connection_limits.h"
#include "server/http/http_error.h"
#include "server/http/request_head.h"
#include "server/http/transport.h"

namespace quern {

/// Used by one thread, request after request: AwaitRequest, ReadHead, then the library, which reads
/// head and body and writes the answer, then SkipBody.
class GuardedStream final : public httplib::Stream {
 public:
  using Clock = std::chrono::steady_clock;

  /// `transport`: over `socket`. `stop`: a descriptor that becomes readable when the server stops,
  /// which ends all reading at once and leaves a write a second. `waiting_since` gets the time from
  /// which the client owes bytes, and kNotWaiting while it owes none.
  GuardedStream(socket_t socket, std::unique_ptr<Transport> transport, int stop,
                const ConnectionLimits& limits, std::atomic<Clock::time_point>* waiting_since);

  static constexpr Clock::time_point kNotWaiting = Clock::time_point::max();

  /// Waits for the first byte of a request. False when none came: the client has left or was idle
  /// for too long, or the server stops.
  bool AwaitRequest();
  /// Whether that was for HTTP without the TLS that is spoken here.
  bool misses_tls() const { return transport_->MissesTls(); }
  /// Errors: 408 for one that comes too slowly, 400 for one that breaks off, 503 when the server
  /// stops, and those of ParseRequestHead.
  tl::expected<void, HttpError> ReadHead();
  /// Why the body could not be read; from then on nothing of the answer is sent.
  const std::optional<HttpError>& failure() const { return failure_; }
  /// Reads past what the request's handler left. False when the next request cannot be found.
  bool SkipBody();
  /// Sends an answer and reads on for a moment: a socket closed with bytes unread resets the
  /// connection, and the client might not see the answer.
  void SendLast(std::string_view answer);

  bool is_readable() const override;
  /// Whether the client is still there; does not wait.
  bool is_writable() const override;
  /// The head of the request and then its body, up to their end.
  ssize_t read(char* data, size_t size) override;
  /// All of it, or -1.
  ssize_t write(const char* data, size_t size) override;
  void get_remote_ip_and_port(std::string& ip, int& port) const override;
  void get_local_ip_and_port(std::string& ip, int& port) const override;
  /// The library looks at it to see whether the client has left.
  socket_t socket() const override;

 private:
  enum class Readiness { kReady, kLate, kStopping };

  /// Until the socket is ready for what `state` wants.
  Readiness WaitToReceive(Transport::State state, Clock::time_point deadline) const;
  bool WaitToSend(Transport::State state, Clock::time_point* deadline) const;
  /// Adds to received_. Errors: `late` and `broken` are the messages of 408 and 400.
  tl::expected<void, HttpError> Receive(Clock::time_point deadline, const char* late,
                                        const char* broken);
  /// What was received and not yet taken.
  std::string_view Rest() const { return std::string_view(received_).substr(taken_); }
  void Take(size_t n);
  ssize_t ReadBody(char* data, size_t size);
  bool Send(std::string_view data);
  bool BodyEnded() const;

  socket_t socket_;
  std::unique_ptr<Transport> transport_;
  int stop_;
  const ConnectionLimits& limits_;
  std::atomic<Clock::time_point>* waiting_since_;
  std::string received_;
  size_t taken_ = 0;  ///< bytes of received_ that are done with
  RequestHead head_;
  size_t head_read_ = 0;  ///< bytes of head_.text that the library has
  uint64_t body_left_ = 0;
  std::optional<ChunkedFraming> chunked_;
  Clock::time_point body_deadline_;
  std::optional<HttpError> failure_;
  bool cannot_write_ = false;
};

}  // namespace quern
