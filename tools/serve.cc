// `quern serve`: the model behind an OpenAI-compatible HTTP server.
#include <fmt/format.h>
#include <semaphore.h>

#include <chrono>
#include <csignal>
#include <cstdio>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "runtime/engine.h"
#include "runtime/model.h"
#include "server/http_server.h"
#include "server/inference_thread.h"
#include "tools/commands.h"
#include "tools/load_model.h"
#include "tools/model_argument.h"
#include "tools/shared_options.h"

namespace quern {
namespace {

struct ServeOptions {
  ModelArgument model;
  HttpServerOptions http;
  EngineOptions engine;
  std::optional<size_t> n_ctx;
  size_t max_queue = 64;
  int drain_seconds = 30;
};

// A signal handler can reach nothing but a global.
sem_t stop_asked;

extern "C" void OnStopSignal(int /*signal*/) { sem_post(&stop_asked); }

/// From here on the first SIGINT or SIGTERM asks to stop, and a second one ends the process at
/// once.
class StopSignals {
 public:
  StopSignals() {
    sem_init(&stop_asked, 0, 0);
    struct sigaction action = {};
    action.sa_handler = OnStopSignal;
    action.sa_flags = static_cast<int>(SA_RESETHAND | SA_RESTART);
    sigaction(SIGINT, &action, nullptr);
    sigaction(SIGTERM, &action, nullptr);
  }
  static void Wait() {
    while (sem_wait(&stop_asked) != 0) {
    }
  }
};

void PrintStart(const ServeOptions& options, int port, const Model& model) {
  const std::string& host = options.http.host;
  const bool is_ipv6 = host.find(':') != std::string::npos;
  const std::string url = fmt::format("http://{}:{}", is_ipv6 ? "[" + host + "]" : host, port);
  fmt::print("model    {}\n", options.http.model_id);
  fmt::print("context  {} tokens, shared by all requests\n", options.engine.n_ctx);
  fmt::print("memory   {} MiB of weights\n", model.weights().size() >> 20);
  fmt::print("address  {}\n\n", url);
  fmt::print(
      "Try: curl {}/v1/chat/completions -H 'Content-Type: application/json' {}-d "
      "'{{\"messages\":[{{\"role\":\"user\",\"content\":\"What does bread mean?\"}}]}}'\n",
      url, options.http.api_keys.empty() ? "" : "-H 'Authorization: Bearer YOUR_KEY' ");
  std::fflush(stdout);
}

Result<int> Serve(ServeOptions& options) {
  Result<GgufFile> file = options.model.Open();
  if (!file) return Propagate(file);
  Result<std::shared_ptr<const Model>> model = LoadModel(*file, options.engine.n_threads);
  if (!model) return Propagate(model);
  const HParams& hparams = (*model)->hparams();
  if (options.http.model_id.empty()) options.http.model_id = hparams.name;
  if (options.http.model_id.empty()) options.http.model_id = file->name();
  options.engine.n_ctx = ContextFor(hparams, options.n_ctx);
  Result<std::unique_ptr<Engine>> engine = Engine::Create(*model, options.engine);
  if (!engine) return Propagate(engine);

  WarnOfLongContext(hparams, options.engine.n_ctx);
  InferenceThread inference(std::move(*engine), options.max_queue);
  HttpServer server(&inference, options.http);
  Result<int> port = server.Bind();
  if (!port) return Propagate(port);
  PrintStart(options, *port, **model);
  StopSignals signals;
  std::thread http([&] { server.Run(); });
  StopSignals::Wait();
  fmt::print(stderr, "stopping: answers under way have {} s to end\n", options.drain_seconds);
  server.Stop(std::chrono::seconds(options.drain_seconds));
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
  command->add_option("--api-key", options->http.api_keys,
                      "Key that clients must send; may be given again");
  AddContextOption(command, "Tokens of context, for all requests", &options->n_ctx);
  AddThreadsOption(command, &options->engine.n_threads);
  command->add_option("--max-queue", options->max_queue, "Most requests running and waiting")
      ->check(CLI::Range(size_t{1}, size_t{4096}))
      ->capture_default_str();
  command
      ->add_option("--drain-timeout", options->drain_seconds,
                   "Seconds that answers under way have when the server is stopped")
      ->check(CLI::Range(0, 86400))
      ->capture_default_str();
}

}  // namespace quern
