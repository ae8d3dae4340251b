#include "server/http_server.h"

#include <fmt/format.h>

#include <chrono>
#include <functional>
#include <optional>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "gguf/base/parse_json.h"
#include "server/access/access_control.h"
#include "server/access/admission.h"
#include "server/access/cors.h"
#include "server/access/usage_file.h"
#include "server/api/embeddings.h"
#include "server/api/json_fields.h"
#include "server/api/model_endpoints.h"
#include "server/api/parse_prompts.h"
#include "server/exchange.h"
#include "server/http/http_listener.h"
#include "server/http_reply.h"
#include "server/live_settings.h"
#include "server/reporter.h"

namespace quern {
namespace {

constexpr const char* kModelHeader = "X-Quern-Model";
constexpr const char* kRouteHeader = "X-Quern-Route";

LiveSettings::Sources SourcesOf(const HttpServerOptions& options) {
  return {.api_keys = options.api_keys,
          .api_key_file = options.api_key_file,
          .screening_file = options.screening_file,
          .tls = options.tls};
}

/// Reads all files that the options name: all that Bind does before it takes the address.
Result<std::unique_ptr<Admission>> Prepare(const HttpServerOptions& options,
                                           LiveSettings* settings) {
  if (Status read = settings->Read(); !read) return Propagate(read);
  const bool has_keys = settings->Current().access->has_keys();
  Status exposure = CheckExposure(options.host, has_keys, options.insecure);
  if (!exposure) return Propagate(exposure);
  Result<Cors> cors = Cors::Create(
      {.origins = options.cors_origins, .bound_host = options.host, .has_keys = has_keys});
  if (!cors) return Propagate(cors);
  auto admission =
      std::make_unique<Admission>(*std::move(cors), options.signature_window, options.rate_limit);
  if (!options.usage_file.empty()) {
    Result<std::vector<DayTokens>> counted = ReadUsageFile(options.usage_file);
    if (!counted) return Propagate(counted);
    admission->RestoreUsage(*counted);
  }
  return admission;
}

/// Whether another model may do better.
bool IsWorthFallback(const HttpReply& reply) { return reply.status == 429 || reply.status >= 500; }

/// The name that a request to load or unload gives.
Result<std::string> ParseModelName(const nlohmann::json& body) {
  std::string name;
  JsonFields fields(body);
  fields.Text("model", &name);
  if (name.empty()) fields.Fail("model", fields.Get("model"), "the name of a model");
  if (!fields.status()) return tl::unexpected(fields.status().error());
  return name;
}

}  // namespace

struct HttpServer::Impl {
  Impl(HttpServerOptions options_in, ModelPool* models_in, Metrics* metrics_in, RequestLog* log_in,
       AuditLog* audit, Tracer* tracer)
      : options(std::move(options_in)),
        models(models_in),
        metrics(metrics_in),
        log(log_in),
        reporter(metrics_in, log_in, audit, tracer),
        settings(SourcesOf(options)),
        listener(options.limits) {}

  /// A request that has been let in.
  struct Call {
    const HttpRequest& request;
    const std::shared_ptr<Exchange>& exchange;
    const Settings& settings;
  };
  using Handler = std::function<ReplyResult(const Call&)>;
  using ModelAnswer = std::function<ReplyResult(ModelLease)>;

  void AddRoutes();
  void AddModelRoutes();
  void Get(const std::string& path, Handler handler);
  void Post(const std::string& path, Handler handler);

  // From the listener.
  HttpListener::Interception Intercept(const HttpRequest& request);
  HttpReply Serve(const Handler& handler, const HttpRequest& request);
  HttpReply ReplyNoHandler(const HttpRequest& request, const HttpError& error);
  std::shared_ptr<Exchange> Begin(const HttpRequest& request);

  /// A handler of requests to a model, which `parse` makes of their bodies; a loaded model answers
  /// with `answer(request, lease, call)`.
  template <typename Request, typename Answer>
  Handler WithModel(Result<Request> (*parse)(const nlohmann::json&), Answer answer);
  /// Has the model answer that the request is routed to, or those to fall back to.
  ReplyResult AnswerRouted(const ModelRequest& request, const Call& call,
                           const ModelAnswer& answer);
  /// The same for the model at `place` of the route.
  ReplyResult AnswerWith(const Route& route, size_t place, const ModelRequest& request,
                         const Call& call, const ModelAnswer& answer) const;
  /// A handler of questions about a model, which load none.
  Handler WithLoaded(ReplyResult (*answer)(const Impl&, const ModelLease&, const HttpRequest&));
  /// A handler that has a model loaded or unloaded.
  Handler Managing(std::optional<HttpError> (ModelPool::*act)(std::string_view));

  // Small handlers.
  ReplyResult Health() const;
  HttpReply ExposeMetrics() const;
  static ReplyResult Props(const Impl& impl, const ModelLease& lease, const HttpRequest& request);
  static ReplyResult Slots(const Impl& impl, const ModelLease& lease, const HttpRequest& request);

  HttpServerOptions options;
  ModelPool* models;
  Metrics* metrics;
  RequestLog* log;
  Reporter reporter;
  LiveSettings settings;
  std::unique_ptr<Admission> admission;                          ///< from Bind on
  std::unordered_map<std::string, const char*> allowed_methods;  ///< of each path
  HttpListener listener;
};

HttpServer::HttpServer(HttpServerOptions options, ModelPool* models, Metrics* metrics,
                       RequestLog* log, AuditLog* audit, Tracer* tracer)
    : impl_(std::make_unique<Impl>(std::move(options), models, metrics, log, audit, tracer)) {
  impl_->options.answering.audit_prompts = audit != nullptr;
  impl_->AddRoutes();
  impl_->AddModelRoutes();
}

HttpServer::~HttpServer() = default;

Status HttpServer::Check(const HttpServerOptions& options) {
  LiveSettings settings(SourcesOf(options));
  return Prepare(options, &settings).map([](const auto&) {});
}

Result<int> HttpServer::Bind() {
  Impl& impl = *impl_;
  Result<std::unique_ptr<Admission>> admission = Prepare(impl.options, &impl.settings);
  if (!admission) return Propagate(admission);
  impl.admission = *std::move(admission);
  impl.listener.set_tls(impl.settings.tls());
  Result<int> port = impl.listener.Bind(impl.options.host, impl.options.port);
  if (port && !impl.options.usage_file.empty()) {
    Status kept = impl.admission->KeepUsage(impl.options.usage_file, impl.log);
    if (!kept) return Propagate(kept);
  }
  return port;
}

bool HttpServer::CanReload() const { return impl_->options.can_reload(); }

Status HttpServer::Reload() { return impl_->settings.Read(); }

void HttpServer::SetRouters(Routers routers) { impl_->settings.SetRouters(std::move(routers)); }

void HttpServer::Run() { impl_->listener.Run(); }

void HttpServer::Stop(std::chrono::milliseconds drain) {
  impl_->models->Close(std::chrono::steady_clock::now() + drain);
  impl_->listener.Stop();
}

void HttpServer::Impl::Get(const std::string& path, Handler handler) {
  listener.Get(path, [this, handler = std::move(handler)](const HttpRequest& request) {
    return Serve(handler, request);
  });
  allowed_methods[path] = "GET";
  metrics->AddPath(path);
}

void HttpServer::Impl::Post(const std::string& path, Handler handler) {
  listener.Post(path, [this, handler = std::move(handler)](const HttpRequest& request) {
    return Serve(handler, request);
  });
  allowed_methods[path] = "POST";
  metrics->AddPath(path);
}

void HttpServer::Impl::AddRoutes() {
  listener.set_interceptor([this](const HttpRequest& request) { return Intercept(request); });
  listener.set_error_handler([this](const HttpRequest& request, const HttpError& error) {
    return ReplyNoHandler(request, error);
  });
  listener.set_refusal_logger([this](const std::string& remote, const HttpError& error) {
    reporter.ReportRefused(remote, error);
  });
  for (const std::string base : {"", "/v1"}) {
    Get(base + "/health", [this](const Call&) { return Health(); });
    Get(base + "/models", [this](const Call& call) -> ReplyResult {
      return JsonReply(ModelsJson(models->status(), call.settings.routers->all()));
    });
  }
  Post("/models/load", Managing(&ModelPool::Load));
  Post("/models/unload", Managing(&ModelPool::Unload));
  Get("/version", [this](const Call&) -> ReplyResult {
    return JsonReply({{"version", options.answering.version}});
  });
  Get("/metrics", [this](const Call&) -> ReplyResult { return ExposeMetrics(); });
  Get("/props", WithLoaded(Props));
  if (options.show_slots) Get("/slots", WithLoaded(Slots));
}

void HttpServer::Impl::AddModelRoutes() {
  const auto answering = [this](const Call& call) {
    return AnsweringCall{.options = options.answering,
                         .screening = call.settings.screening,
                         .exchange = call.exchange,
                         .is_client_gone = call.request.is_connection_closed};
  };
  const auto complete = [answering](const ApiRequest& request, ModelLease lease, const Call& call) {
    return Complete(request, std::move(lease), answering(call));
  };
  const auto embed = [answering](const EmbeddingRequest& request, const ModelLease& lease,
                                 const Call& call) {
    return Embed(request, lease, answering(call));
  };
  for (const std::string base : {"", "/v1"}) {
    Post(base + "/chat/completions", WithModel(ParseChatRequest, complete));
    Post(base + "/embeddings", WithModel(ParseEmbeddingRequest, embed));
  }
  Post("/v1/completions", WithModel(ParseCompletionRequest, complete));
  Post("/completion", WithModel(ParseNativeRequest, complete));
  Post("/completions", WithModel(ParseNativeRequest, complete));

  // Those that the model alone answers, without its engine.
  const auto with = [](auto endpoint) {
    return [endpoint](const auto& request, const ModelLease& lease, const Call&) -> ReplyResult {
      Result<Json> json = endpoint(lease.inference().model(), request);
      if (!json) return Refuse(json.error());
      return JsonReply(*json);
    };
  };
  Post("/tokenize", WithModel(ParseTokenizeRequest, with(Tokenize)));
  Post("/detokenize", WithModel(ParseDetokenizeRequest, with(Detokenize)));
  Post("/apply-template", WithModel(ParseTemplateRequest, with(ApplyTemplate)));
}

/// Replies to what gets no further: preflights, and requests that CORS or the keys refuse.
HttpListener::Interception HttpServer::Impl::Intercept(const HttpRequest& request) {
  Admission::HeadDecision decision = admission->CheckHead(*settings.Current().access, request);
  HttpListener::Interception interception{.headers = std::move(decision.headers), .reply = {}};
  if (decision.refusal) {
    interception.reply = ErrorReply(*decision.refusal);
  } else if (decision.is_preflight) {
    interception.reply = HttpReply{.headers = {{"Allow", "GET, POST, OPTIONS"}}};
  } else {
    return interception;
  }
  const std::shared_ptr<Exchange> exchange = Begin(request);
  exchange->NoteStatus(interception.reply->status);
  interception.reply->headers.Add(exchange->NamingHeaders());
  return interception;
}

HttpReply HttpServer::Impl::Serve(const Handler& handler, const HttpRequest& request) {
  const std::shared_ptr<Exchange> exchange = Begin(request);
  const Settings current = settings.Current();
  HttpHeaders headers = exchange->NamingHeaders();
  ReplyResult result = [&]() -> ReplyResult {
    try {
      Admission::Decision decision = admission->Check(*current.access, request);
      exchange->record.key = std::move(decision.key);
      exchange->ticket = std::move(decision.ticket);
      headers.Add(decision.headers);
      if (decision.refusal) return Refuse(*std::move(decision.refusal));
      return handler({request, exchange, current});
    } catch (const std::exception& error) {
      return Refuse(HttpError{500, error.what()});
    }
  }();
  if (!result && std::holds_alternative<ClientGone>(result.error())) {
    exchange->NoteClientGone();
    return {};
  }
  HttpReply reply = result ? *std::move(result) : ErrorReply(std::get<HttpError>(result.error()));
  exchange->NoteStatus(reply.status);
  reply.headers.Add(headers);
  return reply;
}

HttpReply HttpServer::Impl::ReplyNoHandler(const HttpRequest& request, const HttpError& error) {
  HttpReply reply = ErrorReply(error);
  if (error.status == 404) {
    const auto found = allowed_methods.find(request.path);
    if (found == allowed_methods.end()) {
      reply =
          ErrorReply(HttpError{404, fmt::format("no {} {} here", request.method, request.path)});
    } else {
      reply = ErrorReply(HttpError{
          405, fmt::format("{} takes {}, not {}", request.path, found->second, request.method)});
      reply.headers.Add("Allow", found->second);
    }
  }
  const std::shared_ptr<Exchange> exchange = Begin(request);
  exchange->NoteStatus(reply.status);
  reply.headers.Add(exchange->NamingHeaders());
  return reply;
}

std::shared_ptr<Exchange> HttpServer::Impl::Begin(const HttpRequest& request) {
  return reporter.Begin(request, {.is_known = allowed_methods.contains(request.path),
                                  .is_tls = settings.tls() != nullptr});
}

template <typename Request, typename Answer>
HttpServer::Impl::Handler HttpServer::Impl::WithModel(
    Result<Request> (*parse)(const nlohmann::json&), Answer answer) {
  return [this, parse, answer](const Call& call) -> ReplyResult {
    const Result<Request> request = ParseJsonObject(call.request.body).and_then(parse);
    if (!request) return Refuse(request.error());
    return AnswerRouted(*request, call,
                        [&](ModelLease lease) { return answer(*request, std::move(lease), call); });
  };
}

ReplyResult HttpServer::Impl::AnswerRouted(const ModelRequest& request, const Call& call,
                                           const ModelAnswer& answer) {
  const Route route = call.settings.routers->Decide(request, call.exchange->record.key);
  const size_t last = route.models.size() - 1;
  for (size_t place = 0; place < last; ++place) {
    ReplyResult reply = AnswerWith(route, place, request, call, answer);
    if (!reply || !IsWorthFallback(*reply)) return reply;
    reporter.ReportFallback(call.exchange->record, route.models[place + 1]);
  }
  return AnswerWith(route, last, request, call, answer);
}

ReplyResult HttpServer::Impl::AnswerWith(const Route& route, size_t place,
                                         const ModelRequest& request, const Call& call,
                                         const ModelAnswer& answer) const {
  call.exchange->BeginTry();
  tl::expected<ModelLease, NoReply> lease =
      models->Acquire(route.models[place], call.request.is_connection_closed);
  RequestRecord& record = call.exchange->record;
  record.model = lease ? lease->model().info.id : route.models[place];
  record.router = route.router;
  record.rule = place > 0 ? "fallback" : route.rule;
  HttpHeaders headers;
  if (!route.router.empty()) headers.Add(kRouteHeader, record.router + "/" + record.rule);
  const bool is_leased = lease.has_value();
  if (is_leased) headers.Add(kModelHeader, record.model);

  ReplyResult result = std::move(lease).and_then([&](ModelLease&& held) -> ReplyResult {
    if (request.unsupported) return Refuse(*request.unsupported);
    return answer(std::move(held));
  });
  if (!result && std::holds_alternative<ClientGone>(result.error())) return result;
  HttpReply reply = result ? *std::move(result) : ErrorReply(std::get<HttpError>(result.error()));
  if (!is_leased && reply.status == 404)
    record.model.clear();  // the metrics know only names there are
  reply.headers.Add(headers);
  return reply;
}

HttpServer::Impl::Handler HttpServer::Impl::WithLoaded(ReplyResult (*answer)(const Impl&,
                                                                             const ModelLease&,
                                                                             const HttpRequest&)) {
  return [this, answer](const Call& call) -> ReplyResult {
    ModelRequest request;
    request.model = call.request.Parameter("model");
    const Route route = call.settings.routers->Decide(request, call.exchange->record.key);
    tl::expected<ModelLease, HttpError> lease = models->AcquireLoaded(route.models.front());
    if (!lease) return Refuse(std::move(lease.error()));
    return answer(*this, *lease, call.request);
  };
}

HttpServer::Impl::Handler HttpServer::Impl::Managing(
    std::optional<HttpError> (ModelPool::*act)(std::string_view)) {
  return [this, act](const Call& call) -> ReplyResult {
    const Result<std::string> name = ParseJsonObject(call.request.body).and_then(ParseModelName);
    if (!name) return Refuse(name.error());
    if (std::optional<HttpError> error = (models->*act)(*name)) return Refuse(*std::move(error));
    return JsonReply({{"success", true}});
  };
}

ReplyResult HttpServer::Impl::Health() const {
  if (models->closed()) return Refuse(HttpError{503, "the server is shutting down"});
  if (!models->ready()) return Refuse(HttpError{503, "the model is being loaded"});
  return JsonReply({{"status", "ok"}});
}

HttpReply HttpServer::Impl::ExposeMetrics() const {
  return {.content_type = "text/plain; version=0.0.4; charset=utf-8",
          .body = metrics->Expose({.engine = models->engine_status(),
                                   .max_requests = models->max_requests(),
                                   .n_audit_lost = reporter.n_audit_lost(),
                                   .models = models->status()})};
}

ReplyResult HttpServer::Impl::Props(const Impl& impl, const ModelLease& lease,
                                    const HttpRequest& /*request*/) {
  const ServedModel& served = lease.model();
  return JsonReply(PropsJson(lease.inference().model(), served.info, served.defaults.native,
                             impl.options.answering.version));
}

ReplyResult HttpServer::Impl::Slots(const Impl& /*impl*/, const ModelLease& lease,
                                    const HttpRequest& request) {
  const EngineStatus status = lease.inference().status();
  const ModelInfo& info = lease.model().info;
  if (status.n_running >= info.n_slots && request.HasParameter("fail_on_no_slot")) {
    return Refuse(HttpError{503, "no slot available"});
  }
  return JsonReply(SlotsJson(status, info));
}

}  // namespace quern
