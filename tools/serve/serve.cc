// `quern serve`: the model behind an OpenAI-compatible HTTP server.
#include <fmt/format.h>

#include <atomic>
#include <chrono>
#include <cstdio>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "gguf/base/format_number.h"
#include "runtime/machine/cpu_limits.h"
#include "runtime/machine/process_memory.h"
#include "server/http_server.h"
#include "server/inference/model_pool.h"
#include "server/telemetry/audit_log.h"
#include "server/telemetry/request_log.h"
#include "server/telemetry/tracer.h"
#include "tools/cli/commands.h"
#include "tools/options/load_model.h"
#include "tools/serve/serve_options.h"
#include "tools/serve/serve_signals.h"
#include "tools/serve/service_notifier.h"
#include "tools/serve/service_watchdog.h"
#include "tools/terminal/text_table.h"

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
        watchdog_(watchdog),
        memory_bytes_(options.models_bytes > 0 ? options.models_bytes
                                               : ReadProcessMemory().available),
        metrics_(options.http.answering.version),
        budget_(AvailableThreads()),
        pool_(&log) {}
  ~Serving() {
    if (!accepting_.joinable()) return;
    server_->Stop(std::chrono::seconds(0));
    accepting_.join();
  }
  Serving(const Serving&) = delete;
  Serving& operator=(const Serving&) = delete;

  /// What Run would say before it listens.
  Result<int> Check() {
    if (Status status = HttpServer::Check(options_.http); !status) return Propagate(status);
    Result<std::vector<PlannedModel>> planned = Configure();
    if (!planned) return Propagate(planned);
    fmt::print("{} can be served\n", served_);
    return 0;
  }

  Result<int> Run() {
    Result<std::vector<PlannedModel>> planned = Configure();
    if (!planned) return Propagate(planned);
    Result<int> port = server_->Bind();
    if (!port) return Propagate(port);
    // A terminal that closes sends it too, and should end what has nothing to reload.
    const ServeSignals signals;
    if (options_.can_reload()) ServeSignals::CatchReload();
    ServeSignals::CatchReopen();
    accepting_ = std::thread([this] { server_->Run(); });
    if (Status status = pool_.Preload(); !status) return Propagate(status);
    is_starting_ = false;
    if (!options_.has_several()) {
      WarnOfLongContext(planned->front().served.info.n_ctx_train, planned->front().engine.n_ctx);
    }

    ServeSignals::CatchStop();
    PrintStart(*planned, *port);
    log_.Write(LogLevel::kInfo, "listening",
               {{"host", options_.http.host}, {"port", *port}, {"model", served_}});
    notifier_.Ready(StatusAt(*port));
    const ServiceWatchdog watchdog(notifier_, watchdog_, [this] { return pool_.stalled(); });
    for (Asked asked = ServeSignals::Wait(); asked != Asked::kStop; asked = ServeSignals::Wait()) {
      asked == Asked::kReload ? Reload(*port) : ReopenLogs();
    }
    notifier_.Stopping(fmt::format("Answers under way have {} s to end", options_.drain_seconds));
    log_.Write(LogLevel::kInfo, "stopping", {{"drain_seconds", options_.drain_seconds}});
    server_->Stop(std::chrono::seconds(options_.drain_seconds));
    accepting_.join();
    log_.Write(LogLevel::kInfo, "stopped");
    return 0;
  }

 private:
  /// Has the pool offer the models that the options name now.
  Result<std::vector<PlannedModel>> Configure() {
    Result<ModelList> list = options_.ListModels();
    if (!list) return Propagate(list);
    const bool several = options_.has_several();
    LoadContext context;
    context.metrics = &metrics_;
    context.log = &log_;
    context.show_progress = !several;
    context.on_progress = [this](const std::string& path, double share) {
      NotifyLoading(path, share);
    };
    if (several) {
      context.budget = &budget_;
      context.kv_share = kSharedKvShare;
    }
    std::vector<PlannedModel> planned;
    for (const ServedModelOptions& model : list->models) {
      Result<PlannedModel> plan = PlanModel(model, memory_bytes_, context);
      if (plan) {
        planned.push_back(*std::move(plan));
      } else if (options_.models_folder.empty()) {
        return Propagate(plan);
      } else {  // what else lies in a folder keeps nobody from the rest
        log_.Write(LogLevel::kWarning, "model left out",
                   {{"model", model.id}, {"error", plan.error().message}});
      }
    }
    if (planned.empty()) {
      return Fail(ErrorCode::kNotFound, "{}: no model in it that can be served",
                  options_.models_folder);
    }
    Result<Routers> routers = Routers::Create(std::move(list->routers), list->default_name);
    if (!routers) return Propagate(routers);
    std::vector<ServedModel> served;
    served.reserve(planned.size());
    for (const PlannedModel& model : planned) served.push_back(model.served);
    ModelPoolOptions pool{.memory_bytes = several ? memory_bytes_ : 0,
                          .max_loaded = options_.max_loaded,
                          .any_name = !several};
    if (several) pool.load_wait = std::chrono::seconds(options_.load_wait_seconds);
    if (Status status = pool_.Configure(pool, std::move(served)); !status) return Propagate(status);
    if (server_ == nullptr) {
      server_ =
          std::make_unique<HttpServer>(options_.http, &pool_, &metrics_, &log_, audit_, tracer_);
    }
    server_->SetRouters(*std::move(routers));
    served_ = planned.size() == 1 ? planned.front().served.info.id
                                  : fmt::format("{} models", planned.size());
    return planned;
  }

  /// Once for every percent.
  void NotifyLoading(const std::string& path, double share) {
    const int percent = static_cast<int>(100 * share);
    if (!is_starting_ || std::exchange(percent_loaded_, percent) == percent) return;
    notifier_.Starting(fmt::format("Loading {}: {}%", path, percent), kLoadPatience);
  }

  std::string Url(const std::string& host, int port) const {
    const bool is_ipv6 = host.find(':') != std::string::npos;
    return fmt::format("{}://{}:{}", options_.http.tls ? "https" : "http",
                       is_ipv6 ? "[" + host + "]" : host, port);
  }

  /// What the service manager is told of the server once it is ready.
  std::string StatusAt(int port) const {
    return fmt::format("{} at {}", served_, Url(options_.http.host, port));
  }

  void Reload(int port) {
    notifier_.Reloading("Reading again what may have changed");
    std::string failures;
    if (server_->CanReload()) {
      failures += LogReload("keys, certificate and screening", server_->Reload());
    }
    if (options_.has_several()) {
      failures += LogReload("models", Configure().map([](const auto&) {}));
    }
    notifier_.Ready(StatusAt(port) + failures);
  }

  /// Returns what the service manager is told of a failure.
  std::string LogReload(std::string_view what, const Status& status) {
    if (status) {
      log_.Write(LogLevel::kInfo, "reloaded", {{"what", what}});
      return "";
    }
    log_.Write(LogLevel::kError, "not reloaded, all stays as it was",
               {{"what", what}, {"error", status.error().message}});
    return fmt::format("; {} not reloaded: {}", what, status.error().message);
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

  static void PrintModel(const PlannedModel& model) {
    const EngineOptions& engine = model.engine;
    const MemoryEstimate& memory = model.plan.estimate;
    fmt::print("model    {}\n", model.served.info.id);
    fmt::print("context  {} tokens a request, {} requests together, {} tokens in the KV cache\n",
               engine.n_ctx, engine.max_running, engine.kv_tokens);
    fmt::print("threads  {}\n", engine.n_threads > 0 ? engine.n_threads : AvailableThreads());
    fmt::print("memory   {}: {} of weights, up to {} of KV cache, {} to work; {} available\n",
               FormatBytes(memory.total()), FormatBytes(memory.weights),
               FormatBytes(memory.kv_cache), FormatBytes(memory.scratch),
               model.plan.available > 0 ? FormatBytes(model.plan.available) : "an unknown amount");
  }

  void PrintModels(const std::vector<PlannedModel>& models) const {
    using Align = TextTable::Align;
    TextTable table({Align::kLeft, Align::kRight, Align::kRight, Align::kLeft});
    table.AddRow({"model", "context", "memory", "loaded"});
    for (const PlannedModel& model : models) {
      table.AddRow({model.served.info.id, std::to_string(model.engine.n_ctx),
                    FormatBytes(model.served.memory_bytes),
                    model.served.preload ? "now" : "when asked for"});
    }
    fmt::print("{}\nmemory   {} for the models that are loaded together\n", table.Format(),
               FormatBytes(memory_bytes_));
  }

  void PrintStart(const std::vector<PlannedModel>& models, int port) const {
    const HttpServerOptions& http = options_.http;
    // A certificate is seldom for "localhost".
    const bool is_any = http.host == "0.0.0.0" || http.host == "::";
    const char* const any_host = http.tls ? "YOUR_HOST" : "localhost";
    std::string access;
    if (http.tls) access += fmt::format("--cacert {} ", http.tls->certificate);
    if (!http.api_keys.empty() || !http.api_key_file.empty()) {
      access += "-H 'Authorization: Bearer YOUR_KEY' ";
    }
    options_.has_several() ? PrintModels(models) : PrintModel(models.front());
    fmt::print("address  {}\n\n", Url(http.host, port));
    fmt::print(
        "Try: curl {}/v1/chat/completions -H 'Content-Type: application/json' {}-d "
        "'{{\"messages\":[{{\"role\":\"user\",\"content\":\"What does bread mean?\"}}]}}'\n",
        Url(is_any ? any_host : http.host, port), access);
    std::fflush(stdout);
  }

  ServeOptions& options_;
  RequestLog& log_;
  AuditLog* audit_;
  Tracer* tracer_;
  const ServiceNotifier& notifier_;
  std::chrono::microseconds watchdog_;
  uint64_t memory_bytes_;  ///< of models that are loaded together
  std::string served_;     ///< the model's name, or how many there are
  int percent_loaded_ = -1;
  std::atomic<bool> is_starting_{true};
  Metrics metrics_;
  ThreadBudget budget_;
  ModelPool pool_;
  std::unique_ptr<HttpServer> server_;
  std::thread accepting_;
};

Result<int> Serve(ServeOptions& options) {
  if (Status status = options.Finish(); !status) return Propagate(status);
  if (options.check_only) {  // the logs are those of the server that runs
    options.log.file.clear();
    options.audit.file.clear();
  }
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
  Serving serving(options, **log, audit.get(), tracer->get(), **notifier, *watchdog);
  return options.check_only ? serving.Check() : serving.Run();
}

}  // namespace

void AddServeCommand(Commands& commands) {
  auto options = std::make_shared<ServeOptions>();
  CLI::App* command = commands.Add("serve", "Serve a model over HTTP, with OpenAI's interface",
                                   [options]() -> Result<int> { return Serve(*options); });
  options->http.answering.version = QUERN_VERSION;
  options->tracing.version = QUERN_VERSION;
  options->AddTo(command);
  command->add_flag("--check", options->check_only,
                    "Check options, files and models as at the start or a reload, and exit");
}

}  // namespace quern
