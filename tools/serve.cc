// `quern serve`: the model behind an OpenAI-compatible HTTP server.
#include <fmt/format.h>
#include <pthread.h>

#include <csignal>
#include <cstdio>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "runtime/engine.h"
#include "runtime/model.h"
#include "server/http_server.h"
#include "server/inference_thread.h"
#include "tools/commands.h"
#include "tools/model_argument.h"

namespace quern {
namespace {

struct ServeOptions {
  ModelArgument model;
  HttpServerOptions http;
  EngineOptions engine;
  size_t max_queue = 64;
};

/// SIGINT and SIGTERM, blocked in every thread, for one thread that waits for them.
class StopSignals {
 public:
  StopSignals() {
    sigemptyset(&signals_);
    sigaddset(&signals_, SIGINT);
    sigaddset(&signals_, SIGTERM);
    pthread_sigmask(SIG_BLOCK, &signals_, nullptr);
  }
  void Wait() const {
    int signal = 0;
    sigwait(&signals_, &signal);
  }

 private:
  sigset_t signals_;
};

void PrintStart(const ServeOptions& options, int port, const Model& model) {
  const std::string url = fmt::format("http://{}:{}", options.http.host, port);
  fmt::print("model    {}\n", options.http.model_id);
  fmt::print("context  {} tokens, shared by all requests\n", options.engine.n_ctx);
  fmt::print("memory   {} MiB of weights\n", model.weight_bytes() >> 20);
  fmt::print("address  {}\n\n", url);
  fmt::print(
      "Try: curl {}/v1/chat/completions -H 'Content-Type: application/json' {}-d "
      "'{{\"messages\":[{{\"role\":\"user\",\"content\":\"What does bread mean?\"}}]}}'\n",
      url, options.http.api_keys.empty() ? "" : "-H 'Authorization: Bearer YOUR_KEY' ");
  std::fflush(stdout);
}

Result<int> Serve(ServeOptions& options) {
  const StopSignals signals;
  Result<GgufFile> file = options.model.Open();
  if (!file) return Propagate(file);
  Result<std::shared_ptr<const Model>> model =
      Model::Load(*file, {.n_threads = options.engine.n_threads, .progress = nullptr});
  if (!model) return Propagate(model);
  if (options.http.model_id.empty()) options.http.model_id = (*model)->hparams().name;
  if (options.http.model_id.empty()) options.http.model_id = file->name();
  Result<std::unique_ptr<Engine>> engine = Engine::Create(*model, options.engine);
  if (!engine) return Propagate(engine);

  InferenceThread inference(std::move(*engine), options.max_queue);
  HttpServer server(&inference, options.http);
  Result<int> port = server.Bind();
  if (!port) return Propagate(port);
  PrintStart(options, *port, **model);
  std::thread http([&] { server.Run(); });
  signals.Wait();
  fmt::print(stderr, "stopping\n");
  server.Stop();
  http.join();
  return 0;
}

}  // namespace

void AddServeCommand(Commands& commands) {
  auto options = std::make_shared<ServeOptions>();
  CLI::App* command = commands.Add("serve", "Serve a model over HTTP, with OpenAI's interface",
                                   [options]() -> Result<int> { return Serve(*options); });
  options->model.AddTo(command);
  command->add_option("--host", options->http.host, "Address to listen on")->capture_default_str();
  command->add_option("--port", options->http.port, "Port; 0 takes any free one")
      ->check(CLI::Range(0, 65535))
      ->capture_default_str();
  command->add_option("-a,--alias", options->http.model_id, "Name of the model for clients");
  command->add_option("--api-key", options->http.api_keys, "Key that clients must send");
  command->add_option("-c,--ctx-size", options->engine.n_ctx, "Tokens of context, for all requests")
      ->check(CLI::Range(size_t{1}, size_t{1} << 28))
      ->capture_default_str();
  command->add_option("-t,--threads", options->engine.n_threads, "Threads; 0 takes all allowed")
      ->check(CLI::Range(0, 1024))
      ->capture_default_str();
  command->add_option("--max-queue", options->max_queue, "Most requests running and waiting")
      ->check(CLI::Range(size_t{1}, size_t{1} << 20))
      ->capture_default_str();
}

}  // namespace quern
