#include "server/http_server.h"

#include <fmt/format.h>
#include <httplib.h>

#include <atomic>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <unordered_map>
#include <utility>

#include "server/access_control.h"
#include "server/cors.h"
#include "server/exchange.h"
#include "server/guarded_server.h"
#include "server/http_reply.h"
#include "server/key_file.h"
#include "server/model_endpoints.h"
#include "server/quotas.h"
#include "server/request_id.h"

namespace quern {
namespace {

using Request = httplib::Request;
using Response = httplib::Response;
using ExchangePtr = std::shared_ptr<Exchange>;
using Handled = httplib::Server::HandlerResponse;

constexpr const char* kRequestIdHeader = "X-Request-Id";
constexpr const char* kTraceparentHeader = "traceparent";

/// What the endpoints are called in the metrics.
std::vector<std::string> Paths() {
  return {"/health",     "/v1/health",     "/models",         "/v1/models",
          "/props",      "/slots",         "/metrics",        "/version",
          "/completion", "/completions",   "/v1/completions", "/chat/completions",
          "/embeddings", "/v1/embeddings", "/tokenize",       "/v1/chat/completions",
          "/detokenize", "/apply-template"};
}

const ApiKey* FindKey(const AccessControl& access, const Request& request) {
  return access.Find(request.get_header_value("Authorization"),
                     request.get_header_value("X-Api-Key"));
}

/// 503 says to come back: while the model is being loaded, or after too long in the line.
RequestOutcome OutcomeOf(int status) {
  if (status < 400) return RequestOutcome::kAnswered;
  return status < 500 || status == 503 ? RequestOutcome::kRejected : RequestOutcome::kFailed;
}

}  // namespace

struct HttpServer::Impl {
  Impl(HttpServerOptions options_in, RequestLog* log_in, AuditLog* audit_in, Tracer* tracer_in)
      : options(std::move(options_in)),
        log(log_in),
        audit(audit_in),
        tracer(tracer_in),
        metrics(options.answering.version, Paths()),
        quotas(options.rate_limit),
        server(options.limits) {}

  using Handler = std::function<void(const ExchangePtr&, const Request&, Response&)>;
  using ModelHandler =
      std::function<void(Answering&, const ExchangePtr&, const Request&, Response&)>;

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
  /// Counts a request on its caller. False when it is one too many, which the response then says.
  bool CountIn(Exchange& exchange, const Request& request, Response& response);
  void ReplyNoHandler(const Request& request, Response& response) const;
  /// A handler that has a model, or answers that it is being loaded.
  Handler WithModel(ModelHandler handler);
  ExchangePtr NewExchange(const Request& request, Response& response);
  /// Begins the exchange's span and names it in the response, where requests are traced.
  void Trace(Exchange& exchange, const Request& request, Response& response) const;
  /// Answers what gets no further: preflights, and requests that access control or CORS refuse.
  bool Intercept(const Request& request, Response& response);
  void Report(const RequestRecord& record);
  void Audit(const RequestRecord& record);

  HttpServerOptions options;
  RequestLog* log;
  AuditLog* audit;
  Tracer* tracer;
  std::atomic<uint64_t> n_audit_lost_told{0};
  Metrics metrics;
  Quotas quotas;
  std::unique_ptr<TlsServer> tls;  ///< from Bind on, where it is spoken
  GuardedServer server;
  std::unordered_map<std::string, const char*> allowed_methods;  ///< of each path
  mutable std::mutex mutex;
  std::shared_ptr<const AccessControl> access;  ///< from Bind on; under mutex
  std::optional<Cors> cors;                     ///< from Bind on
  std::unique_ptr<Answering> loaded;            ///< behind the next
  std::atomic<Answering*> ready{nullptr};       ///< null while the model is being loaded
};

HttpServer::HttpServer(HttpServerOptions options, RequestLog* log, AuditLog* audit, Tracer* tracer)
    : impl_(std::make_unique<Impl>(std::move(options), log, audit, tracer)) {
  impl_->options.answering.audit_prompts = audit != nullptr;
  impl_->AddRoutes();
  impl_->AddModelRoutes();
  impl_->AddErrorHandlers();
}

HttpServer::~HttpServer() = default;

Metrics& HttpServer::metrics() { return impl_->metrics; }

Status HttpServer::Impl::Prepare() {
  Result<AccessControl> control = ReadAccess();
  if (!control) return Propagate(control);
  Status exposure = CheckExposure(options.host, control->has_keys(), options.insecure);
  if (!exposure) return Propagate(exposure);
  Result<Cors> guard = Cors::Create({.origins = options.cors_origins,
                                     .bound_host = options.host,
                                     .has_keys = control->has_keys()});
  if (!guard) return Propagate(guard);
  if (options.tls) {
    Result<std::unique_ptr<TlsServer>> made = TlsServer::Create(*options.tls);
    if (!made) return Propagate(made);
    tls = *std::move(made);
    server.set_tls(tls.get());
  }
  SetAccess(*std::move(control));
  cors = *std::move(guard);
  return {};
}

Status HttpServer::Check(const HttpServerOptions& options) {
  return HttpServer(options, /*log=*/nullptr).impl_->Prepare();
}

Result<int> HttpServer::Bind() {
  if (Status status = impl_->Prepare(); !status) return Propagate(status);
  return impl_->server.Bind(impl_->options.host, impl_->options.port);
}

bool HttpServer::CanReload() const {
  return impl_->tls != nullptr || !impl_->options.api_key_file.empty();
}

Status HttpServer::Reload() {
  Result<AccessControl> access = impl_->ReadAccess();
  if (!access) return Propagate(access);
  if (impl_->tls != nullptr) {
    if (Status status = impl_->tls->Reload(); !status) return status;
  }
  impl_->SetAccess(*std::move(access));
  return {};
}

void HttpServer::Run() { impl_->server.Run(); }

void HttpServer::SetModel(InferenceThread* inference, ModelInfo info) {
  impl_->metrics.SetRequestsLimit(inference->max_requests());
  impl_->loaded = std::make_unique<Answering>(inference, std::move(info), impl_->options.answering);
  impl_->ready = impl_->loaded.get();
}

void HttpServer::Stop(std::chrono::milliseconds drain) {
  if (Answering* answering = impl_->ready) {
    answering->inference().Close(std::chrono::steady_clock::now() + drain);
  }
  impl_->server.Stop();
}

Result<AccessControl> HttpServer::Impl::ReadAccess() const {
  std::vector<ApiKey> keys;
  for (const std::string& secret : options.api_keys) {
    Result<ApiKey> key = ApiKey::Create(fmt::format("option-{}", keys.size() + 1), secret);
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

bool HttpServer::Impl::Intercept(const Request& request, Response& response) {
  const Cors::Decision decision = cors->Decide(request.method, request.get_header_value("Origin"),
                                               request.get_header_value("Host"));
  for (const auto& [name, value] : decision.headers) response.set_header(name, value);
  if (decision.refusal) {
    ReplyError(response, *decision.refusal);
  } else if (decision.is_preflight) {
    response.status = 200;
    response.set_header("Allow", "GET, POST, OPTIONS");
  } else if (const auto control = Access(); !control->IsOpen(request.method, request.path) &&
                                            FindKey(*control, request) == nullptr) {
    response.set_header("WWW-Authenticate", "Bearer");
    ReplyError(response, HttpError{401, "no valid API key"});
  } else {
    return false;
  }
  NewExchange(request, response)->record.outcome = OutcomeOf(response.status);
  return true;
}

void HttpServer::Impl::Report(const RequestRecord& record) {
  metrics.Record(record);
  if (log != nullptr) log->Record(record);
  if (audit != nullptr) Audit(record);
}

void HttpServer::Impl::Audit(const RequestRecord& record) {
  const Answering* answering = ready;
  audit->Record(record, answering != nullptr ? answering->info().id : "");
  const uint64_t n_lost = audit->n_lost();
  const uint64_t n_told = n_audit_lost_told.exchange(n_lost);
  if (n_lost > n_told && log != nullptr) {
    log->Write(LogLevel::kWarning, "audit lines lost", {{"count", n_lost - n_told}});
  }
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
bool HttpServer::Impl::CountIn(Exchange& exchange, const Request& request, Response& response) {
  const auto control = Access();
  const ApiKey* key = FindKey(*control, request);
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
      if (CountIn(*exchange, request, response)) handler(exchange, request, response);
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
}

void HttpServer::Impl::Post(const std::string& path, Handler handler) {
  server.Post(path, Handling(std::move(handler)));
  allowed_methods[path] = "POST";
}

HttpServer::Impl::Handler HttpServer::Impl::WithModel(ModelHandler handler) {
  return [this, handler = std::move(handler)](const ExchangePtr& exchange, const Request& request,
                                              Response& response) {
    Answering* answering = ready;
    if (answering == nullptr) {
      return ReplyError(response, HttpError{503, "the model is being loaded"});
    }
    handler(*answering, exchange, request, response);
  };
}

void HttpServer::Impl::AddRoutes() {
  server.set_pre_routing_handler([this](const Request& request, Response& response) {
    return Intercept(request, response) ? Handled::Handled : Handled::Unhandled;
  });
  Get("/version", [this](const auto&, const auto&, Response& response) {
    Reply(response, 200, {{"version", options.answering.version}});
  });
  Get("/metrics", [this](const auto&, const auto&, Response& response) {
    const Answering* answering = ready;
    const EngineStatus status =
        answering != nullptr ? answering->inference().status() : EngineStatus();
    response.set_content(metrics.Expose(status, audit != nullptr ? audit->n_lost() : 0),
                         "text/plain; version=0.0.4; charset=utf-8");
  });
}

void HttpServer::Impl::AddModelRoutes() {
  const Handler health =
      WithModel([](const Answering& answering, const auto&, const auto&, Response& response) {
        if (answering.inference().closed()) {
          return ReplyError(response, HttpError{503, "the server is shutting down"});
        }
        Reply(response, 200, {{"status", "ok"}});
      });
  const Handler models =
      WithModel([](const Answering& answering, const auto&, const auto&, Response& response) {
        Reply(response, 200, ModelsJson(answering.inference().model(), answering.info()));
      });
  const auto complete = [this](ApiKind kind) {
    return WithModel(
        [kind](Answering& answering, const ExchangePtr& exchange, const Request& request,
               Response& response) { answering.Complete(kind, exchange, request, response); });
  };
  const Handler embed =
      WithModel([](Answering& answering, const ExchangePtr& exchange, const Request& request,
                   Response& response) { answering.Embed(exchange, request, response); });
  for (const std::string base : {"", "/v1"}) {
    Get(base + "/health", health);
    Get(base + "/models", models);
    Post(base + "/chat/completions", complete(ApiKind::kChat));
    Post(base + "/embeddings", embed);
  }
  Post("/v1/completions", complete(ApiKind::kCompletion));
  Post("/completion", complete(ApiKind::kNative));
  Post("/completions", complete(ApiKind::kNative));

  Get("/props",
      WithModel([this](const Answering& answering, const auto&, const auto&, Response& response) {
        Reply(response, 200,
              PropsJson(answering.inference().model(), answering.info(),
                        options.answering.defaults.native, options.answering.version));
      }));
  if (options.show_slots) {
    Get("/slots", WithModel([](const Answering& answering, const auto&, const Request& request,
                               Response& response) {
          const EngineStatus status = answering.inference().status();
          const bool full = status.n_running >= answering.info().n_slots;
          if (full && request.has_param("fail_on_no_slot")) {
            return ReplyError(response, HttpError{503, "no slot available"});
          }
          Reply(response, 200, SlotsJson(status, answering.info()));
        }));
  }
  using Endpoint = Result<Json> (*)(const Model&, std::string_view);
  for (const auto& [path, endpoint] : {std::pair<const char*, Endpoint>{"/tokenize", Tokenize},
                                       {"/detokenize", Detokenize},
                                       {"/apply-template", ApplyTemplate}}) {
    Post(path, WithModel([endpoint = endpoint](const Answering& answering, const auto&,
                                               const Request& request, Response& response) {
           const Result<Json> json = endpoint(answering.inference().model(), request.body);
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
