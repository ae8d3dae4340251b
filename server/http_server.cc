#include "server/http_server.h"

#include <fmt/format.h>
#include <httplib.h>

#include <atomic>
#include <chrono>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "gguf/base/parse_json.h"
#include "server/access/access_control.h"
#include "server/access/authentication.h"
#include "server/access/cors.h"
#include "server/access/key_file.h"
#include "server/access/quotas.h"
#include "server/access/usage_file.h"
#include "server/api/json_fields.h"
#include "server/api/model_endpoints.h"
#include "server/exchange.h"
#include "server/http/guarded_server.h"
#include "server/http_reply.h"
#include "server/telemetry/request_id.h"

namespace quern {
namespace {

using Request = httplib::Request;
using Response = httplib::Response;
using ExchangePtr = std::shared_ptr<Exchange>;
using Handled = httplib::Server::HandlerResponse;

constexpr const char* kRequestIdHeader = "X-Request-Id";
constexpr const char* kModelHeader = "X-Quern-Model";
constexpr const char* kRouteHeader = "X-Quern-Route";
constexpr const char* kTraceparentHeader = "traceparent";

/// A disk may be full for long: the log gets a line of lost audit lines at most so often.
constexpr std::chrono::minutes kTellOfLossEvery{1};

void ReplyRefusal(Response& response, const HttpError& refusal) {
  if (refusal.status == 401) response.set_header("WWW-Authenticate", "Bearer");
  ReplyError(response, refusal);
}

/// 503 says to come back: while the model is being loaded, or after too long in the line.
RequestOutcome OutcomeOf(int status) {
  if (status < 400) return RequestOutcome::kAnswered;
  return status < 500 || status == 503 ? RequestOutcome::kRejected : RequestOutcome::kFailed;
}

}  // namespace

struct HttpServer::Impl {
  Impl(HttpServerOptions options_in, ModelPool* models_in, Metrics* metrics_in, RequestLog* log_in,
       AuditLog* audit_in, Tracer* tracer_in)
      : options(std::move(options_in)),
        models(models_in),
        metrics(metrics_in),
        log(log_in),
        audit(audit_in),
        tracer(tracer_in),
        authentication(options.signature_window),
        quotas(options.rate_limit),
        server(options.limits) {}

  using Handler = std::function<void(const ExchangePtr&, const Request&, Response&)>;
  using ModelHandler = std::function<void(ModelLease, const ExchangePtr&, const nlohmann::json&,
                                          const Request&, Response&)>;
  using LoadedHandler = std::function<void(const ModelLease&, const Request&, Response&)>;

  void AddRoutes();
  void AddModelRoutes();
  void AddErrorHandlers();
  void Get(const std::string& path, Handler handler);
  void Post(const std::string& path, Handler handler);
  httplib::Server::Handler Handling(Handler handler);
  /// All that Bind does before it takes the address.
  Status Prepare();
  /// The options' keys and those of their file.
  Result<AccessControl> ReadAccess() const;
  std::shared_ptr<const AccessControl> Access() const;
  void SetAccess(AccessControl control);
  /// Null where no file is given.
  Result<std::shared_ptr<const Screening>> ReadScreening() const;
  void SetScreening(std::shared_ptr<const Screening> rules);
  /// How to answer a request that has come now.
  AnsweringOptions Answering() const;
  /// Counts a request on its caller. False when it is one too many, which the response then says.
  bool CountIn(const ApiKey* key, Exchange& exchange, const Request& request, Response& response);
  void ReplyNoHandler(const Request& request, Response& response) const;
  /// A handler of requests with a body that names a model.
  Handler WithModel(ModelHandler handler);
  /// Has `handler` answer with the model at `place` of the route. False when it is one that fails.
  bool Try(const ModelHandler& handler, const Route& route, size_t place,
           const ExchangePtr& exchange, const nlohmann::json& body, const Request& request,
           Response& response) const;
  /// A handler of questions about a model, which load none.
  Handler WithLoaded(LoadedHandler handler);
  /// A handler that has a model loaded or unloaded.
  Handler Managing(std::optional<HttpError> (ModelPool::*act)(std::string_view));
  std::shared_ptr<const Routers> CurrentRouters() const;
  ExchangePtr NewExchange(const Request& request, Response& response);
  /// Begins the exchange's span and names it in the response, where requests are traced.
  void Trace(Exchange& exchange, const Request& request, Response& response) const;
  /// Answers what gets no further: preflights, and requests that access control or CORS refuse.
  bool Intercept(const Request& request, Response& response);
  void Report(const RequestRecord& record);
  void Audit(const RequestRecord& record);

  HttpServerOptions options;
  ModelPool* models;
  Metrics* metrics;
  RequestLog* log;
  AuditLog* audit;
  Tracer* tracer;
  struct {
    std::mutex mutex;
    uint64_t n_told = 0;  ///< lost lines that the log has told of
    std::chrono::steady_clock::time_point silent_until;
  } audit_loss;
  Authentication authentication;
  Quotas quotas;
  std::unique_ptr<UsageFile> usage_file;  ///< from Bind on, where it is kept
  std::unique_ptr<TlsServer> tls;         ///< from Bind on, where it is spoken
  GuardedServer server;
  std::unordered_map<std::string, const char*> allowed_methods;  ///< of each path
  mutable std::mutex mutex;
  std::shared_ptr<const AccessControl> access;  ///< from Bind on; under mutex
  std::shared_ptr<const Screening> screening;   ///< from Bind on; under mutex
  std::shared_ptr<const Routers> routers = std::make_shared<const Routers>();  ///< under mutex
  std::optional<Cors> cors;                                                    ///< from Bind on
};

HttpServer::HttpServer(HttpServerOptions options, ModelPool* models, Metrics* metrics,
                       RequestLog* log, AuditLog* audit, Tracer* tracer)
    : impl_(std::make_unique<Impl>(std::move(options), models, metrics, log, audit, tracer)) {
  impl_->options.answering.audit_prompts = audit != nullptr;
  impl_->AddRoutes();
  impl_->AddModelRoutes();
  impl_->AddErrorHandlers();
}

HttpServer::~HttpServer() = default;

Status HttpServer::Impl::Prepare() {
  Result<AccessControl> control = ReadAccess();
  if (!control) return Propagate(control);
  Status exposure = CheckExposure(options.host, control->has_keys(), options.insecure);
  if (!exposure) return Propagate(exposure);
  Result<Cors> guard = Cors::Create({.origins = options.cors_origins,
                                     .bound_host = options.host,
                                     .has_keys = control->has_keys()});
  if (!guard) return Propagate(guard);
  Result<std::shared_ptr<const Screening>> rules = ReadScreening();
  if (!rules) return Propagate(rules);
  if (!options.usage_file.empty()) {
    Result<std::vector<DayTokens>> counted = ReadUsageFile(options.usage_file);
    if (!counted) return Propagate(counted);
    quotas.Restore(*counted);
  }
  if (options.tls) {
    Result<std::unique_ptr<TlsServer>> made = TlsServer::Create(*options.tls);
    if (!made) return Propagate(made);
    tls = *std::move(made);
    server.set_tls(tls.get());
  }
  SetAccess(*std::move(control));
  SetScreening(*std::move(rules));
  cors = *std::move(guard);
  return {};
}

Status HttpServer::Check(const HttpServerOptions& options) {
  Metrics metrics("");
  return HttpServer(options, /*models=*/nullptr, &metrics, /*log=*/nullptr).impl_->Prepare();
}

Result<int> HttpServer::Bind() {
  if (Status status = impl_->Prepare(); !status) return Propagate(status);
  Result<int> port = impl_->server.Bind(impl_->options.host, impl_->options.port);
  if (const std::string& path = impl_->options.usage_file; port && !path.empty()) {
    Result<std::unique_ptr<UsageFile>> file = UsageFile::Open(path, &impl_->quotas, impl_->log);
    if (!file) return Propagate(file);
    impl_->usage_file = *std::move(file);
  }
  return port;
}

bool HttpServer::CanReload() const { return impl_->options.can_reload(); }

Status HttpServer::Reload() {
  Result<AccessControl> access = impl_->ReadAccess();
  if (!access) return Propagate(access);
  Result<std::shared_ptr<const Screening>> rules = impl_->ReadScreening();
  if (!rules) return Propagate(rules);
  if (impl_->tls != nullptr) {
    if (Status status = impl_->tls->Reload(); !status) return status;
  }
  impl_->SetAccess(*std::move(access));
  impl_->SetScreening(*std::move(rules));
  return {};
}

void HttpServer::Run() { impl_->server.Run(); }

void HttpServer::SetRouters(Routers routers) {
  auto shared = std::make_shared<const Routers>(std::move(routers));
  const std::lock_guard lock(impl_->mutex);
  impl_->routers = std::move(shared);
}

void HttpServer::Stop(std::chrono::milliseconds drain) {
  impl_->models->Close(std::chrono::steady_clock::now() + drain);
  impl_->server.Stop();
}

std::shared_ptr<const Routers> HttpServer::Impl::CurrentRouters() const {
  const std::lock_guard lock(mutex);
  return routers;
}

Result<AccessControl> HttpServer::Impl::ReadAccess() const {
  std::vector<ApiKey> keys;
  for (const std::string& secret : options.api_keys) {
    Result<ApiKey> key =
        ApiKey::Create(fmt::format("option-{}", keys.size() + 1), secret, {}, Signing::kOptional);
    if (!key) return Propagate(key);
    keys.push_back(*std::move(key));
  }
  if (!options.api_key_file.empty()) {
    Result<std::vector<ApiKey>> more = ReadKeyFile(options.api_key_file);
    if (!more) return Propagate(more);
    keys.insert(keys.end(), more->begin(), more->end());
  }
  return AccessControl(std::move(keys));
}

std::shared_ptr<const AccessControl> HttpServer::Impl::Access() const {
  const std::lock_guard lock(mutex);
  return access;
}

void HttpServer::Impl::SetAccess(AccessControl control) {
  auto shared = std::make_shared<const AccessControl>(std::move(control));
  const std::lock_guard lock(mutex);
  access = std::move(shared);
}

Result<std::shared_ptr<const Screening>> HttpServer::Impl::ReadScreening() const {
  if (options.screening_file.empty()) return nullptr;
  Result<Screening> rules = Screening::Read(options.screening_file);
  if (!rules) return Propagate(rules);
  return std::make_shared<const Screening>(*std::move(rules));
}

void HttpServer::Impl::SetScreening(std::shared_ptr<const Screening> rules) {
  const std::lock_guard lock(mutex);
  screening = std::move(rules);
}

AnsweringOptions HttpServer::Impl::Answering() const {
  AnsweringOptions answering = options.answering;
  const std::lock_guard lock(mutex);
  answering.screening = screening;
  return answering;
}

bool HttpServer::Impl::Intercept(const Request& request, Response& response) {
  const Cors::Decision decision = cors->Decide(request.method, request.get_header_value("Origin"),
                                               request.get_header_value("Host"));
  for (const auto& [name, value] : decision.headers) response.set_header(name, value);
  if (decision.refusal) {
    ReplyError(response, *decision.refusal);
  } else if (decision.is_preflight) {
    response.status = 200;
    response.set_header("Allow", "GET, POST, OPTIONS");
  } else if (const auto refusal = authentication.RefusalOfHead(*Access(), request)) {
    ReplyRefusal(response, *refusal);
  } else {
    return false;
  }
  NewExchange(request, response)->record.outcome = OutcomeOf(response.status);
  return true;
}

void HttpServer::Impl::Report(const RequestRecord& record) {
  metrics->Record(record);
  if (log != nullptr) log->Record(record);
  if (audit != nullptr) Audit(record);
}

void HttpServer::Impl::Audit(const RequestRecord& record) {
  audit->Record(record);
  const uint64_t n_lost = audit->n_lost();
  if (n_lost == 0 || log == nullptr) return;
  const std::lock_guard lock(audit_loss.mutex);
  const auto now = std::chrono::steady_clock::now();
  if (n_lost <= audit_loss.n_told || now < audit_loss.silent_until) return;
  const uint64_t n_new = n_lost - std::exchange(audit_loss.n_told, n_lost);
  audit_loss.silent_until = now + kTellOfLossEvery;
  log->Write(LogLevel::kWarning, "audit lines lost", {{"count", n_new}});
}

/// Takes the client's name for the request, if it is one, and tells it in the response.
ExchangePtr HttpServer::Impl::NewExchange(const Request& request, Response& response) {
  auto exchange =
      std::make_shared<Exchange>([this](const RequestRecord& record) { Report(record); });
  std::string id = request.get_header_value(kRequestIdHeader);
  if (!IsRequestId(id)) id = NewRequestId();
  response.set_header(kRequestIdHeader, id);
  exchange->record.id = std::move(id);
  exchange->record.remote = request.remote_addr;
  exchange->record.method = request.method;
  exchange->record.path = request.path;
  exchange->record.status = response.status;
  if (tracer != nullptr) Trace(*exchange, request, response);
  return exchange;
}

void HttpServer::Impl::Trace(Exchange& exchange, const Request& request, Response& response) const {
  // Headers that are there twice are no valid ones; those of a list may come in several lines.
  const bool is_one = request.get_header_value_count(kTraceparentHeader) == 1;
  std::string state = request.get_header_value("tracestate");
  for (size_t i = 1; i < request.get_header_value_count("tracestate"); ++i) {
    state += ',' + request.get_header_value("tracestate", "", i);
  }
  exchange.span =
      tracer->Begin({.method = request.method,
                     .path = request.path,
                     .remote = request.remote_addr,
                     .is_known_path = allowed_methods.contains(request.path),
                     .is_tls = tls != nullptr,
                     .traceparent = is_one ? request.get_header_value(kTraceparentHeader) : "",
                     .tracestate = std::move(state)});
  if (exchange.span == nullptr) return;
  exchange.record.trace_id = exchange.span->trace_id();
  response.set_header(kTraceparentHeader, exchange.span->traceparent());
}

/// Questions of monitors, which are GETs, are free.
bool HttpServer::Impl::CountIn(const ApiKey* key, Exchange& exchange, const Request& request,
                               Response& response) {
  if (key != nullptr) exchange.record.key = key->name();
  if (request.method != "POST") return true;
  Quotas::Decision decision = quotas.Admit(key != nullptr ? key->name() : request.remote_addr,
                                           key != nullptr ? key->limits() : KeyLimits());
  for (const auto& [name, value] : decision.headers) response.set_header(name, value);
  if (decision.refusal) ReplyError(response, *decision.refusal);
  exchange.ticket = std::move(decision.ticket);
  return !decision.refusal;
}

httplib::Server::Handler HttpServer::Impl::Handling(Handler handler) {
  return [this, handler = std::move(handler)](const Request& request, Response& response) {
    const ExchangePtr exchange = NewExchange(request, response);
    RequestRecord& record = exchange->record;
    record.status = 200;  // unless the handler finds another
    try {
      const auto control = Access();
      const Authentication::Caller caller = authentication.Identify(*control, request);
      if (!caller) {
        ReplyRefusal(response, caller.error());
      } else if (CountIn(*caller, *exchange, request, response)) {
        handler(exchange, request, response);
      }
    } catch (const std::exception& error) {
      ReplyError(response, HttpError{500, error.what()});
    }
    if (response.status >= 400) {
      record.status = response.status;
      if (record.outcome == RequestOutcome::kAnswered) record.outcome = OutcomeOf(response.status);
    }
  };
}

void HttpServer::Impl::Get(const std::string& path, Handler handler) {
  server.Get(path, Handling(std::move(handler)));
  allowed_methods[path] = "GET";
  metrics->AddPath(path);
}

void HttpServer::Impl::Post(const std::string& path, Handler handler) {
  server.Post(path, Handling(std::move(handler)));
  allowed_methods[path] = "POST";
  metrics->AddPath(path);
}

HttpServer::Impl::Handler HttpServer::Impl::WithModel(ModelHandler handler) {
  return [this, handler = std::move(handler)](const ExchangePtr& exchange, const Request& request,
                                              Response& response) {
    Result<nlohmann::json> body = ParseJsonObject(request.body);
    if (!body) return ReplyError(response, body.error());
    std::string name;
    JsonFields fields(*body);
    fields.Text("model", &name);
    if (!fields.status()) return ReplyError(response, fields.status().error());
    const Route route = CurrentRouters()->Decide(name, *body, exchange->record.key);
    size_t place = 0;
    while (!Try(handler, route, place, exchange, *body, request, response) &&
           ++place < route.models.size()) {
    }
  };
}

bool HttpServer::Impl::Try(const ModelHandler& handler, const Route& route, size_t place,
                           const ExchangePtr& exchange, const nlohmann::json& body,
                           const Request& request, Response& response) const {
  RequestRecord& record = exchange->record;
  if (place > 0) {
    if (log != nullptr) {
      log->Write(LogLevel::kWarning, "fallback",
                 {{"id", record.id}, {"from", record.model}, {"to", route.models[place]}});
    }
    record.outcome = RequestOutcome::kAnswered;
    response.status = -1;
    response.body.clear();
    for (const char* header : {"Content-Type", "Retry-After", kModelHeader, kRouteHeader}) {
      response.headers.erase(header);
    }
  }
  tl::expected<ModelLease, HttpError> lease =
      models->Acquire(route.models[place], request.is_connection_closed);
  record.model = lease ? lease->model().info.id : route.models[place];
  record.router = route.router;
  record.rule = place > 0 ? "fallback" : route.rule;
  if (!route.router.empty()) response.set_header(kRouteHeader, record.router + "/" + record.rule);
  if (lease) {
    response.set_header(kModelHeader, record.model);
    handler(*std::move(lease), exchange, body, request, response);
  } else if (lease.error().status == 404) {
    record.model.clear();  // the metrics know only names that there are
    ReplyError(response, lease.error());
  } else if (lease.error().status == 0) {
    exchange->Leave();
  } else {
    ReplyError(response, lease.error());
  }
  const bool failed = response.status == 429 || response.status >= 500;
  return !failed || record.outcome == RequestOutcome::kCancelled;
}

HttpServer::Impl::Handler HttpServer::Impl::WithLoaded(LoadedHandler handler) {
  return [this, handler = std::move(handler)](const ExchangePtr& exchange, const Request& request,
                                              Response& response) {
    const Route route =
        CurrentRouters()->Decide(request.get_param_value("model"), nullptr, exchange->record.key);
    const tl::expected<ModelLease, HttpError> lease = models->AcquireLoaded(route.models.front());
    if (!lease) return ReplyError(response, lease.error());
    handler(*lease, request, response);
  };
}

HttpServer::Impl::Handler HttpServer::Impl::Managing(
    std::optional<HttpError> (ModelPool::*act)(std::string_view)) {
  return [this, act](const ExchangePtr&, const Request& request, Response& response) {
    Result<nlohmann::json> body = ParseJsonObject(request.body);
    if (!body) return ReplyError(response, body.error());
    std::string name;
    JsonFields fields(*body);
    fields.Text("model", &name);
    if (name.empty()) fields.Fail("model", fields.Get("model"), "the name of a model");
    if (!fields.status()) return ReplyError(response, fields.status().error());
    if (const std::optional<HttpError> error = (models->*act)(name)) {
      return ReplyError(response, *error);
    }
    Reply(response, 200, {{"success", true}});
  };
}

void HttpServer::Impl::AddRoutes() {
  server.set_pre_routing_handler([this](const Request& request, Response& response) {
    return Intercept(request, response) ? Handled::Handled : Handled::Unhandled;
  });
  const Handler health = [this](const auto&, const auto&, Response& response) {
    if (models->closed())
      return ReplyError(response, HttpError{503, "the server is shutting down"});
    if (!models->ready()) return ReplyError(response, HttpError{503, "the model is being loaded"});
    Reply(response, 200, {{"status", "ok"}});
  };
  const Handler list = [this](const auto&, const auto&, Response& response) {
    Reply(response, 200, ModelsJson(models->status(), CurrentRouters()->all()));
  };
  for (const std::string base : {"", "/v1"}) {
    Get(base + "/health", health);
    Get(base + "/models", list);
  }
  Post("/models/load", Managing(&ModelPool::Load));
  Post("/models/unload", Managing(&ModelPool::Unload));
  Get("/version", [this](const auto&, const auto&, Response& response) {
    Reply(response, 200, {{"version", options.answering.version}});
  });
  Get("/metrics", [this](const auto&, const auto&, Response& response) {
    response.set_content(metrics->Expose({.engine = models->engine_status(),
                                          .max_requests = models->max_requests(),
                                          .n_audit_lost = audit != nullptr ? audit->n_lost() : 0,
                                          .models = models->status()}),
                         "text/plain; version=0.0.4; charset=utf-8");
  });
}

void HttpServer::Impl::AddModelRoutes() {
  const auto complete = [this](ApiKind kind) {
    return WithModel([this, kind](ModelLease lease, const ExchangePtr& exchange,
                                  const nlohmann::json& body, const Request& request,
                                  Response& response) {
      Complete(kind, std::move(lease), Answering(), exchange, body, request, response);
    });
  };
  const Handler embed =
      WithModel([this](ModelLease lease, const ExchangePtr& exchange, const nlohmann::json& body,
                       const Request& request, Response& response) {
        Embed(std::move(lease), Answering(), exchange, body, request, response);
      });
  for (const std::string base : {"", "/v1"}) {
    Post(base + "/chat/completions", complete(ApiKind::kChat));
    Post(base + "/embeddings", embed);
  }
  Post("/v1/completions", complete(ApiKind::kCompletion));
  Post("/completion", complete(ApiKind::kNative));
  Post("/completions", complete(ApiKind::kNative));

  Get("/props", WithLoaded([this](const ModelLease& lease, const Request&, Response& response) {
        Reply(response, 200,
              PropsJson(lease.inference().model(), lease.model().info,
                        lease.model().defaults.native, options.answering.version));
      }));
  if (options.show_slots) {
    Get("/slots",
        WithLoaded([](const ModelLease& lease, const Request& request, Response& response) {
          const EngineStatus status = lease.inference().status();
          const ModelInfo& info = lease.model().info;
          if (status.n_running >= info.n_slots && request.has_param("fail_on_no_slot")) {
            return ReplyError(response, HttpError{503, "no slot available"});
          }
          Reply(response, 200, SlotsJson(status, info));
        }));
  }
  using Endpoint = Result<Json> (*)(const Model&, const nlohmann::json&);
  for (const auto& [path, endpoint] : {std::pair<const char*, Endpoint>{"/tokenize", Tokenize},
                                       {"/detokenize", Detokenize},
                                       {"/apply-template", ApplyTemplate}}) {
    Post(path, WithModel([endpoint = endpoint](const ModelLease& lease, const auto&,
                                               const nlohmann::json& body, const Request&,
                                               Response& response) {
           const Result<Json> json = endpoint(lease.inference().model(), body);
           if (!json) return ReplyError(response, json.error());
           Reply(response, 200, *json);
         }));
  }
}

void HttpServer::Impl::ReplyNoHandler(const Request& request, Response& response) const {
  const auto found = allowed_methods.find(request.path);
  if (found == allowed_methods.end()) {
    return ReplyError(response,
                      HttpError{404, fmt::format("no {} {} here", request.method, request.path)});
  }
  response.set_header("Allow", found->second);
  ReplyError(response, HttpError{405, fmt::format("{} takes {}, not {}", request.path,
                                                  found->second, request.method)});
}

/// What no handler has answered.
void HttpServer::Impl::AddErrorHandlers() {
  server.set_error_handler([this](const Request& request, Response& response) {
    if (!response.body.empty()) return Handled::Unhandled;
    if (response.status == 404) {
      ReplyNoHandler(request, response);
    } else {
      ReplyError(response, HttpError{response.status, httplib::status_message(response.status)});
    }
    NewExchange(request, response)->record.outcome = OutcomeOf(response.status);
    return Handled::Handled;
  });
  server.set_refusal_logger([this](const std::string& remote, const HttpError& error) {
    RequestRecord record;
    record.id = NewRequestId();
    record.remote = remote;
    record.status = error.status;
    record.outcome = OutcomeOf(error.status);
    Report(record);
  });
}

}  // namespace quern
