// `quern serve`: the model behind an OpenAI-compatible HTTP server.
#include <fmt/format.h>
#include <semaphore.h>

#include <chrono>
#include <csignal>
#include <cstdio>
#include <ctime>
#include <filesystem>
#include <memory>
#include <string>
#include <thread>
#include <utility>

#include "server/audit_log.h"
#include "server/http_server.h"
#include "server/inference_thread.h"
#include "server/process_memory.h"
#include "server/request_log.h"
#include "tools/commands.h"
#include "tools/format_number.h"
#include "tools/load_model.h"
#include "tools/memory_plan.h"
#include "tools/serve_options.h"

namespace quern {
namespace {

// A signal handler can reach nothing but globals.
sem_t signalled;
volatile std::sig_atomic_t stop_asked = 0;
volatile std::sig_atomic_t reload_asked = 0;
volatile std::sig_atomic_t reopen_asked = 0;

extern "C" void OnSignal(int signal) {
  (signal == SIGHUP ? reload_asked : signal == SIGUSR1 ? reopen_asked : stop_asked) = 1;
  sem_post(&signalled);
}

/// What signals ask for.
class Signals {
 public:
  enum class Asked : uint8_t { kReload, kReopenLogs, kStop };

  Signals() { sem_init(&signalled, 0, 0); }

  /// From here on SIGHUP asks to reload.
  static void CatchReload() { Catch(SIGHUP, SA_RESTART); }
  /// From here on SIGUSR1 asks to open the logs again.
  static void CatchReopen() { Catch(SIGUSR1, SA_RESTART); }
  /// From here on the first SIGINT or SIGTERM asks to stop; a second one ends the process at once.
  static void CatchStop() {
    Catch(SIGINT, SA_RESETHAND | SA_RESTART);
    Catch(SIGTERM, SA_RESETHAND | SA_RESTART);
  }

  static Asked Wait() {
    while (true) {
      if (stop_asked != 0) return Asked::kStop;
      if (std::exchange(reload_asked, 0) != 0) return Asked::kReload;
      if (std::exchange(reopen_asked, 0) != 0) return Asked::kReopenLogs;
      sem_wait(&signalled);
    }
  }

 private:
  static void Catch(int signal, unsigned int flags) {
    struct sigaction action = {};
    action.sa_handler = OnSignal;
    action.sa_flags = static_cast<int>(flags);
    sigaction(signal, &action, nullptr);
  }
};

/// A server that accepts from the beginning and says that it is loading until there is a model.
class Serving {
 public:
  Serving(ServeOptions& options, RequestLog& log, AuditLog* audit)
      : options_(options), log_(log), audit_(audit) {}
  ~Serving() {
    if (!accepting_.joinable()) return;
    server_->Stop(std::chrono::seconds(0));
    accepting_.join();
  }
  Serving(const Serving&) = delete;
  Serving& operator=(const Serving&) = delete;

  Result<int> Run() {
    Result<GgufFile> file = options_.model.Open();
    if (!file) return Propagate(file);
    if (Status status = options_.Finish(*file); !status) return Propagate(status);
    Result<std::optional<std::string>> chat_template = options_.chat_template.Source();
    if (!chat_template) return Propagate(chat_template);
    Result<HParams> hparams = HParams::Load(*file);
    if (!hparams) return Propagate(hparams);
    options_.engine.n_ctx = ContextFor(*hparams, options_.n_ctx);
    Result<MemoryPlan> plan = PlanMemory(*file, *hparams,
                                         {.n_ctx = options_.engine.n_ctx,
                                          .n_parallel = options_.engine.max_running,
                                          .kv_tokens = options_.engine.kv_tokens,
                                          .kv_types = options_.engine.kv_types},
                                         ReadProcessMemory().available);
    if (!plan) return Propagate(plan);
    options_.engine.kv_tokens = plan->kv_tokens;

    server_ = std::make_unique<HttpServer>(options_.http, &log_, audit_);
    Result<int> port = server_->Bind();
    if (!port) return Propagate(port);
    // A terminal that closes sends it too, and should end what has nothing to reload.
    const Signals signals;
    if (server_->CanReload()) Signals::CatchReload();
    Signals::CatchReopen();
    accepting_ = std::thread([this] { server_->Run(); });

    Result<std::shared_ptr<const Model>> model =
        LoadModel(*file, {.mode = options_.load_mode,
                          .n_threads = options_.engine.n_threads,
                          .chat_template = *std::move(chat_template)});
    if (!model) return Propagate(model);
    Result<std::unique_ptr<Engine>> engine = Engine::Create(*model, options_.engine);
    if (!engine) return Propagate(engine);
    WarnOfLongContext(*hparams, options_.engine.n_ctx);
    inference_ = std::make_unique<InferenceThread>(
        std::move(*engine), options_.max_queue,
        [this](double seconds) { server_->metrics().ObserveInterToken(seconds); });
    const ModelInfo info = InfoOf(*file, *hparams);
    server_->SetModel(inference_.get(), info);

    Signals::CatchStop();
    PrintStart(info, *plan, *port);
    log_.Write(LogLevel::kInfo, "listening",
               {{"host", options_.http.host}, {"port", *port}, {"model", info.id}});
    for (Signals::Asked asked; (asked = Signals::Wait()) != Signals::Asked::kStop;) {
      asked == Signals::Asked::kReload ? Reload() : ReopenLogs();
    }
    log_.Write(LogLevel::kInfo, "stopping", {{"drain_seconds", options_.drain_seconds}});
    server_->Stop(std::chrono::seconds(options_.drain_seconds));
    accepting_.join();
    log_.Write(LogLevel::kInfo, "stopped");
    return 0;
  }

 private:
  ModelInfo InfoOf(const GgufFile& file, const HParams& hparams) const {
    ModelInfo info{.id = options_.model_id,
                   .path = file.name(),
                   .created = std::time(nullptr),
                   .n_ctx = options_.engine.n_ctx,
                   .n_slots = inference_->options().max_running};
    if (info.id.empty()) info.id = hparams.name;
    if (info.id.empty()) info.id = std::filesystem::path(file.name()).filename().string();
    return info;
  }

  void Reload() {
    if (Status status = server_->Reload(); status) {
      log_.Write(LogLevel::kInfo, "reloaded");
    } else {
      log_.Write(LogLevel::kError, "not reloaded, all stays as it was",
                 {{"error", status.error().message}});
    }
  }

  void ReopenLogs() {
    Status status = log_.Reopen();
    if (status && audit_ != nullptr) status = audit_->Reopen();
    if (status) {
      log_.Write(LogLevel::kInfo, "logs opened again");
    } else {
      log_.Write(LogLevel::kError, "log not opened again", {{"error", status.error().message}});
    }
  }

  void PrintStart(const ModelInfo& info, const MemoryPlan& plan, int port) const {
    const std::string& host = options_.http.host;
    const bool is_ipv6 = host.find(':') != std::string::npos;
    const std::string url = fmt::format("{}://{}:{}", options_.http.tls ? "https" : "http",
                                        is_ipv6 ? "[" + host + "]" : host, port);
    const EngineOptions& engine = inference_->options();
    fmt::print("model    {}\n", info.id);
    fmt::print("context  {} tokens a request, {} requests together, {} tokens in the KV cache\n",
               engine.n_ctx, engine.max_running, engine.kv_tokens);
    fmt::print("threads  {}\n", engine.n_threads);
    fmt::print("memory   {}: {} of weights, up to {} of KV cache, {} to work; {} available\n",
               FormatBytes(plan.estimate.total()), FormatBytes(plan.estimate.weights),
               FormatBytes(plan.estimate.kv_cache), FormatBytes(plan.estimate.scratch),
               plan.available > 0 ? FormatBytes(plan.available) : "an unknown amount");
    fmt::print("address  {}\n\n", url);
    fmt::print(
        "Try: curl {}/v1/chat/completions -H 'Content-Type: application/json' {}-d "
        "'{{\"messages\":[{{\"role\":\"user\",\"content\":\"What does bread mean?\"}}]}}'\n",
        url,
        options_.http.api_keys.empty() && options_.http.api_key_file.empty()
            ? ""
            : "-H 'Authorization: Bearer YOUR_KEY' ");
    std::fflush(stdout);
  }

  ServeOptions& options_;
  RequestLog& log_;
  AuditLog* audit_;
  std::unique_ptr<HttpServer> server_;
  std::unique_ptr<InferenceThread> inference_;  ///< goes before the server, whose metrics it feeds
  std::thread accepting_;
};

Result<int> Serve(ServeOptions& options) {
  Result<std::unique_ptr<RequestLog>> log = RequestLog::Open(options.log);
  if (!log) return Propagate(log);
  std::unique_ptr<AuditLog> audit;
  if (!options.audit.file.empty()) {
    Result<std::unique_ptr<AuditLog>> opened = AuditLog::Open(options.audit);
    if (!opened) return Propagate(opened);
    audit = *std::move(opened);
  }
  return Serving(options, **log, audit.get()).Run();
}

}  // namespace

void AddServeCommand(Commands& commands) {
  auto options = std::make_shared<ServeOptions>();
  CLI::App* command = commands.Add("serve", "Serve a model over HTTP, with OpenAI's interface",
                                   [options]() -> Result<int> { return Serve(*options); });
  options->http.answering.version = QUERN_VERSION;
  options->AddTo(command);
}

}  // namespace quern
