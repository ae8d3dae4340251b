// The HTTP library's server on connections that cannot hold it up: a thread for each, and a limit
// for everything that a client may take.
#pragma once

#include <httplib.h>

#include <atomic>
#include <chrono>
#include <functional>
#include <list>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>

#include "gguf/base/result.h"
#include "server/http/connection_limits.h"
#include "server/http/guarded_stream.h"
#include "server/http/http_error.h"
#include "server/http/tls.h"

namespace quern {

/// Routes and handlers are set as on httplib::Server, before Run. A request beyond the limits is
/// answered with OpenAI's error object and `Connection: close`, and reaches no handler, or, where
/// it is the body that fails, none but the pre-routing one.
class GuardedServer : private httplib::Server {
 public:
  explicit GuardedServer(const ConnectionLimits& limits);
  /// Run has returned, or was never called.
  ~GuardedServer() override;
  GuardedServer(const GuardedServer&) = delete;
  GuardedServer& operator=(const GuardedServer&) = delete;

  using Server::Delete;
  using Server::Get;
  using Server::Options;
  using Server::Post;
  using Server::set_default_headers;
  using Server::set_error_handler;
  using Server::set_exception_handler;
  using Server::set_logger;
  using Server::set_post_routing_handler;
  using Server::set_pre_routing_handler;

  /// Called for each request that the limits refuse, with the client's address, from the thread of
  /// its connection. Such a request may come to set_logger's function too, as a 400.
  void set_refusal_logger(std::function<void(const std::string& remote, const HttpError&)> logger) {
    refusal_logger_ = std::move(logger);
  }

  /// Speaks TLS, with a `tls` that outlives the server. Before Run.
  void set_tls(const TlsServer* tls) { tls_ = tls; }

  /// Takes the address, `port` 0 being any free one, and gives the port. Errors: kIo.
  Result<int> Bind(const std::string& host, int port);
  /// Accepts until Stop, then waits for the handlers under way. Once, after Bind.
  void Run();
  /// Ends Run: connections on which the client owes bytes are closed at once, an answer being
  /// written has a second for each further piece. Any thread, before, while or after Run.
  void Stop() const;

  /// Connections that are open now.
  size_t n_connections() const;

 private:
  using Clock = GuardedStream::Clock;

  struct Connection {
    socket_t socket;  ///< under mutex_; INVALID_SOCKET once it is closed
    bool rejected = false;
    bool evicted = false;  ///< of the accepting thread alone
    std::atomic<bool> ended{false};
    std::atomic<Clock::time_point> waiting_since{GuardedStream::kNotWaiting};
    std::thread thread;
  };

  void Accept();
  /// Forgets connections that have ended.
  void Reap();
  /// Closes the connection that keeps the server waiting longest. False when none does.
  bool Evict();
  void Start(socket_t socket, bool rejected);
  void Serve(Connection* connection);
  void ServeRequests(Connection& connection, std::unique_ptr<Transport> transport);
  /// One request and its answer. False when the connection ends with it.
  bool ServeRequest(GuardedStream& stream, bool last);
  void Refuse(GuardedStream& stream, const HttpError& error);

  ConnectionLimits limits_;
  const TlsServer* tls_ = nullptr;
  std::function<void(const std::string&, const HttpError&)> refusal_logger_;
  int stop_;  ///< an eventfd
  mutable std::mutex mutex_;
  std::list<Connection> connections_;  ///< its nodes stay where they are; the list is under mutex_
};

}  // namespace quern
