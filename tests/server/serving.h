// A running server with the demo model behind it, for tests over real sockets.
#pragma once

#include <httplib.h>

#include <chrono>
#include <memory>
#include <string>
#include <thread>
#include <utility>

#include "runtime/engine.h"
#include "server/http_server.h"
#include "server/inference_thread.h"
#include "tools/demo_model/demo_model.h"

namespace quern {

/// One thread of inference, any free port.
class Serving {
 public:
  /// `max_requests` run together, and none waits.
  explicit Serving(HttpServerOptions options = {}, size_t max_requests = 8, size_t n_ctx = 512)
      : Serving(std::move(options), {.n_ctx = n_ctx, .max_running = max_requests, .n_threads = 1},
                0) {}
  Serving(HttpServerOptions options, const EngineOptions& engine, size_t max_queue)
      : inference_(Engine::Create(LoadDemo(), engine).value(), max_queue,
                   [this](double seconds) { server_.metrics().ObserveInterToken(seconds); }),
        server_(WithAnyPort(std::move(options)), /*log=*/nullptr),
        port_(server_.Bind().value()),
        thread_([this] { server_.Run(); }) {
    server_.SetModel(&inference_, {.id = "demo",
                                   .path = "demo.gguf",
                                   .created = 5,
                                   .n_ctx = engine.n_ctx,
                                   .n_slots = inference_.options().max_running});
    client_ = std::make_unique<httplib::Client>("127.0.0.1", port_);
  }
  ~Serving() { Stop(std::chrono::milliseconds(0)); }
  Serving(const Serving&) = delete;
  Serving& operator=(const Serving&) = delete;

  static std::shared_ptr<const Model> LoadDemo() {
    const Result<GgufFile> file = GgufFile::FromMemory(DemoModelBytes(), "demo");
    return Model::Load(*file).value();
  }

  void Stop(std::chrono::milliseconds drain) {
    if (!thread_.joinable()) return;
    server_.Stop(drain);
    thread_.join();
  }
  int port() const { return port_; }
  HttpServer& server() { return server_; }
  httplib::Client& client() { return *client_; }
  InferenceThread& inference() { return inference_; }
  httplib::Result Post(const std::string& path, const std::string& body) {
    return client_->Post(path, body, "application/json");
  }

 private:
  static HttpServerOptions WithAnyPort(HttpServerOptions options) {
    options.port = 0;
    options.answering.version = "1.2.3";
    return options;
  }
  InferenceThread inference_;
  HttpServer server_;
  int port_;
  std::thread thread_;
  std::unique_ptr<httplib::Client> client_;
};

}  // namespace quern
