// The HTTP front: routes, streams and limits over an inference thread.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "gguf/result.h"
#include "server/inference_thread.h"

namespace quern {

struct HttpServerOptions {
  std::string host = "127.0.0.1";
  int port = 8080;  ///< 0: any free one
  std::string model_id;
  std::vector<std::string> api_keys;  ///< none: no key is asked for
  size_t max_body_bytes = size_t{16} << 20;
};

class HttpServer {
 public:
  /// `inference` outlives the server.
  HttpServer(InferenceThread* inference, HttpServerOptions options);
  ~HttpServer();
  HttpServer(const HttpServer&) = delete;
  HttpServer& operator=(const HttpServer&) = delete;

  /// Takes the address and gives its port. Errors: kIo naming it; kInvalidArgument for an address
  /// that others can reach without a key, or for an empty key.
  Result<int> Bind();
  /// Serves until Stop.
  void Run();
  /// Refuses new requests, lets those under way finish within `drain`, then cuts them off with an
  /// error that says so, and makes Run return. Any thread, once, after or while Run is called.
  void Stop(std::chrono::milliseconds drain);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace quern
