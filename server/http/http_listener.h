// Listens for HTTP: hands requests to handlers by method and path, and writes their replies.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "gguf/base/result.h"
#include "server/http/connection_limits.h"
#include "server/http/http_error.h"
#include "server/http/http_message.h"
#include "server/http/tls.h"

namespace quern {

/// Set up before Bind. Handlers are called from the threads of connections.
class HttpListener {
 public:
  explicit HttpListener(const ConnectionLimits& limits);
  /// Run has returned, or was never called.
  ~HttpListener();
  HttpListener(const HttpListener&) = delete;
  HttpListener& operator=(const HttpListener&) = delete;

  using Handler = std::function<HttpReply(const HttpRequest&)>;
  void Get(const std::string& path, Handler handler);
  void Post(const std::string& path, Handler handler);

  struct Interception {
    HttpHeaders headers;             ///< of the reply, whoever makes it
    std::optional<HttpReply> reply;  ///< where the request goes no further
  };
  /// Sees every request before its body is read.
  void set_interceptor(std::function<Interception(const HttpRequest&)> interceptor);

  /// Replies to what comes to no handler: 404 where there is none.
  void set_error_handler(std::function<HttpReply(const HttpRequest&, const HttpError&)> handler);

  /// Called for each request that the limits refuse, with the client's address.
  void set_refusal_logger(std::function<void(const std::string& remote, const HttpError&)> logger);

  /// Speaks TLS, with a `tls` that outlives it.
  void set_tls(const TlsServer* tls);

  /// Takes the address, `port` 0 being any free one, and gives the port. Errors: kIo.
  Result<int> Bind(const std::string& host, int port);
  /// Accepts until Stop, then waits for the handlers under way. Once, after Bind.
  void Run();
  /// Ends Run. Any thread.
  void Stop();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace quern
