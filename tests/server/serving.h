// A running server with the demo model behind it, for tests over real sockets.
#pragma once

#include <gtest/gtest.h>
#include <httplib.h>

#include <chrono>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "runtime/engine/engine.h"
#include "server/http_server.h"
#include "server/inference/inference_thread.h"
#include "server/inference/model_pool.h"
#include "server/telemetry/metrics.h"
#include "tools/demo_model/demo_model.h"

namespace quern {

/// The demo model for a pool. `metrics` outlives the pool.
inline ServedModel ServedDemo(const std::string& id, const EngineOptions& engine, size_t max_queue,
                              Metrics* metrics) {
  ServedModel served;
  served.info = {.id = id,
                 .path = "demo.gguf",
                 .created = 5,
                 .n_ctx = engine.n_ctx,
                 .n_slots = engine.max_running};
  served.recipe = {.path = "demo.gguf", .engine = engine, .max_queue = max_queue};
  served.load = [metrics](const ModelRecipe& recipe) -> Result<std::unique_ptr<InferenceThread>> {
    const Result<GgufFile> file = GgufFile::FromMemory(DemoModelBytes(), "demo");
    return std::make_unique<InferenceThread>(
        Engine::Create(Model::Load(*file).value(), recipe.engine).value(), recipe.max_queue,
        InferenceListener{
            .on_inter_token = [metrics](double seconds) { metrics->ObserveInterToken(seconds); }});
  };
  return served;
}

/// One thread of inference, any free port.
class Serving {
 public:
  struct NoModels {};

  /// `max_requests` run together, and none waits.
  explicit Serving(HttpServerOptions options = {}, size_t max_requests = 8, size_t n_ctx = 512)
      : Serving(std::move(options), {.n_ctx = n_ctx, .max_running = max_requests, .n_threads = 1},
                0) {}
  Serving(HttpServerOptions options, const EngineOptions& engine, size_t max_queue)
      : Serving(NoModels(), std::move(options)) {
    ServedModel demo = ServedDemo("demo", engine, max_queue, &metrics_);
    demo.preload = true;
    Offer({.any_name = true}, {std::move(demo)});
  }
  explicit Serving(NoModels, HttpServerOptions options = {})
      : server_(WithAnyPort(std::move(options)), &pool_, &metrics_, /*log=*/nullptr),
        port_(server_.Bind().value()),
        thread_([this] { server_.Run(); }),
        client_(std::make_unique<httplib::Client>("127.0.0.1", port_)) {}
  ~Serving() { Stop(std::chrono::milliseconds(0)); }
  Serving(const Serving&) = delete;
  Serving& operator=(const Serving&) = delete;

  void Offer(const ModelPoolOptions& options, std::vector<ServedModel> models) {
    EXPECT_TRUE(pool_.Configure(options, std::move(models)));
    EXPECT_TRUE(pool_.Preload());
  }

  void Stop(std::chrono::milliseconds drain) {
    if (!thread_.joinable()) return;
    server_.Stop(drain);
    thread_.join();
  }
  int port() const { return port_; }
  HttpServer& server() { return server_; }
  httplib::Client& client() { return *client_; }
  Metrics& metrics() { return metrics_; }
  ModelPool& pool() { return pool_; }
  /// Of the first model, which stays loaded.
  InferenceThread& inference() { return pool_.AcquireLoaded("")->inference(); }
  httplib::Result Post(const std::string& path, const std::string& body) {
    return client_->Post(path, body, "application/json");
  }

 private:
  static HttpServerOptions WithAnyPort(HttpServerOptions options) {
    options.port = 0;
    options.answering.version = "1.2.3";
    return options;
  }
  Metrics metrics_{"1.2.3"};
  ModelPool pool_;
  HttpServer server_;
  int port_;
  std::thread thread_;
  std::unique_ptr<httplib::Client> client_;
};

}  // namespace quern
