// `quern serve`: the model behind an OpenAI-compatible HTTP server.
#include <fmt/format.h>

#include <chrono>
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
#include "server/tracer.h"
#include "tools/commands.h"
#include "tools/format_number.h"
#include "tools/load_model.h"
#include "tools/serve_options.h"
#include "tools/serve_signals.h"
#include "tools/service_notifier.h"
#include "tools/service_watchdog.h"

namespace quern {
namespace {

/// What a service manager is told while the model is loaded: seconds that one tensor may take, from
/// a slow disk.
constexpr std::chrono::seconds kLoadPatience{300};

/// A server that accepts from the beginning and says that it is loading until there is a model.
class Serving {
  using Asked = ServeSignals::Asked;

 public:
  /// `watchdog`: interval in which the service manager wants to hear; zero: it does not.
  Serving(ServeOptions& options, RequestLog& log, AuditLog* audit, Tracer* tracer,
          const ServiceNotifier& notifier, std::chrono::microseconds watchdog)
      : options_(options),
        log_(log),
        audit_(audit),
        tracer_(tracer),
        notifier_(notifier),
        watchdog_(watchdog) {}
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
    Result<MemoryPlan> plan = options_.FitMemory(*file, *hparams, ReadProcessMemory().available);
    if (!plan) return Propagate(plan);

    server_ = std::make_unique<HttpServer>(options_.http, &log_, audit_, tracer_);
    Result<int> port = server_->Bind();
    if (!port) return Propagate(port);
    // A terminal that closes sends it too, and should end what has nothing to reload.
    const ServeSignals signals;
    if (server_->CanReload()) ServeSignals::CatchReload();
    ServeSignals::CatchReopen();
    accepting_ = std::thread([this] { server_->Run(); });

    NotifyLoading(*file, 0);
    Result<std::shared_ptr<const Model>> model =
        LoadModel(*file, {.mode = options_.load_mode,
                          .n_threads = options_.engine.n_threads,
                          .chat_template = *std::move(chat_template),
                          .progress = [&](double share) { NotifyLoading(*file, share); }});
    if (!model) return Propagate(model);
    Result<std::unique_ptr<Engine>> engine = Engine::Create(*model, options_.engine);
    if (!engine) return Propagate(engine);
    WarnOfLongContext(*hparams, options_.engine.n_ctx);
    inference_ = std::make_unique<InferenceThread>(
        std::move(*engine), options_.max_queue,
        [this](double seconds) { server_->metrics().ObserveInterToken(seconds); });
    const ModelInfo info = InfoOf(*file, *hparams);
    server_->SetModel(inference_.get(), info);

    ServeSignals::CatchStop();
    PrintStart(info, *plan, *port);
    log_.Write(LogLevel::kInfo, "listening",
               {{"host", options_.http.host}, {"port", *port}, {"model", info.id}});
    notifier_.Ready(fmt::format("{} at {}", info.id, Url(*port)));
    const ServiceWatchdog watchdog(notifier_, watchdog_, [this] { return inference_->stalled(); });
    for (Asked asked = ServeSignals::Wait(); asked != Asked::kStop; asked = ServeSignals::Wait()) {
      asked == Asked::kReload ? Reload() : ReopenLogs();
    }
    notifier_.Stopping(fmt::format("Answers under way have {} s to end", options_.drain_seconds));
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

  /// Once for every percent.
  void NotifyLoading(const GgufFile& file, double share) {
    const int percent = static_cast<int>(100 * share);
    if (std::exchange(percent_loaded_, percent) == percent) return;
    notifier_.Starting(fmt::format("Loading {}: {}%", file.name(), percent), kLoadPatience);
  }

  std::string Url(int port) const {
    const std::string& host = options_.http.host;
    const bool is_ipv6 = host.find(':') != std::string::npos;
    return fmt::format("{}://{}:{}", options_.http.tls ? "https" : "http",
                       is_ipv6 ? "[" + host + "]" : host, port);
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
    const std::string url = Url(port);
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
  Tracer* tracer_;
  const ServiceNotifier& notifier_;
  std::chrono::microseconds watchdog_;
  int percent_loaded_ = -1;
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
  Result<std::unique_ptr<Tracer>> tracer = Tracer::Create(options.tracing, log->get());
  if (!tracer) return Propagate(tracer);
  Result<std::unique_ptr<ServiceNotifier>> notifier = ServiceNotifier::FromEnvironment();
  if (!notifier) return Propagate(notifier);
  Result<std::chrono::microseconds> watchdog = WatchdogInterval();
  if (!watchdog) return Propagate(watchdog);
  return Serving(options, **log, audit.get(), tracer->get(), **notifier, *watchdog).Run();
}

}  // namespace

void AddServeCommand(Commands& commands) {
  auto options = std::make_shared<ServeOptions>();
  CLI::App* command = commands.Add("serve", "Serve a model over HTTP, with OpenAI's interface",
                                   [options]() -> Result<int> { return Serve(*options); });
  options->http.answering.version = QUERN_VERSION;
  options->tracing.version = QUERN_VERSION;
  options->AddTo(command);
}

}  // namespace quern
