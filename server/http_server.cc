#include "server/http_server.h"

#include <httplib.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <ctime>
#include <thread>
#include <utility>

#include "server/openai_api.h"

namespace quern {
namespace {

constexpr const char* kJsonType = "application/json";
using Clock = std::chrono::steady_clock;

/// How long an HTTP thread goes on before it looks whether its client is still there.
constexpr std::chrono::milliseconds kPatience(100);
/// HTTP threads beyond those that wait for answers, so that the rest is answered under full load.
constexpr size_t kSpareThreads = 8;
/// Connections that may wait for an HTTP thread; more are turned away.
constexpr size_t kMaxWaitingConnections = 256;

void Reply(httplib::Response& response, int status, const Json& body) {
  response.status = status;
  response.set_content(body.dump(-1, ' ', false, Json::error_handler_t::replace), kJsonType);
}

void ReplyError(httplib::Response& response, const Error& error) {
  const int status = StatusOf(error);
  if (status == 429) response.set_header("Retry-After", "1");
  Reply(response, status, ErrorJson(error));
}

std::string Sse(const Json& object) {
  return "data: " + object.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n\n";
}

/// Equal in time that depends on the lengths alone.
bool EqualSecret(std::string_view a, std::string_view b) {
  unsigned char difference = a.size() == b.size() ? 0 : 1;
  for (size_t i = 0; i < std::min(a.size(), b.size()); ++i) {
    difference |= static_cast<unsigned char>(a[i] ^ b[i]);
  }
  return difference == 0;
}

bool IsLoopback(const std::string& host) {
  return host == "localhost" || host == "::1" || host.rfind("127.", 0) == 0;
}

/// An answer that the server cuts off: a client that has left does not see it.
Error CutOff() { return {ErrorCode::kCancelled, "the server is shutting down"}; }

/// Counts the answers under way.
class Answering {
 public:
  explicit Answering(std::atomic<size_t>* count) : count_(count) { ++*count_; }
  ~Answering() { --*count_; }
  Answering(const Answering&) = delete;
  Answering& operator=(const Answering&) = delete;

 private:
  std::atomic<size_t>* count_;
};

/// Writes one streamed answer, a call per event.
class EventStream {
 public:
  EventStream(std::shared_ptr<Ticket> ticket, ResponseHead head, bool include_usage,
              std::atomic<size_t>* n_answering)
      : ticket_(std::move(ticket)),
        head_(std::move(head)),
        include_usage_(include_usage),
        answering_(n_answering) {}
  ~EventStream() { ticket_->cancelled = true; }  // of a finished answer this changes nothing
  EventStream(const EventStream&) = delete;
  EventStream& operator=(const EventStream&) = delete;

  /// False when the client is gone.
  bool Write(httplib::DataSink& sink) {
    const std::optional<GenerateEvent> event = ticket_->events.Take(kPatience);
    if (!event) return sink.is_writable();
    std::string text;
    // A chat's first part tells the role even if no text is ready.
    if (!event->text.empty() || (first_ && head_.kind == ApiKind::kChat)) {
      text += Sse(ChunkJson(head_, event->text, std::exchange(first_, false)));
    }
    if (event->finished && event->finish_reason == FinishReason::kCancelled) {
      text += Sse(ErrorJson(CutOff()));
    } else if (event->finished) {
      text += Sse(LastChunkJson(head_, event->finish_reason));
      if (include_usage_) text += Sse(UsageChunkJson(head_, event->stats));
      text += "data: [DONE]\n\n";
    }
    // An empty chunk would end the response.
    if (!text.empty() && !sink.write(text.data(), text.size())) return false;
    if (event->finished) sink.done();
    return true;
  }

 private:
  std::shared_ptr<Ticket> ticket_;
  ResponseHead head_;
  bool include_usage_;
  bool first_ = true;
  Answering answering_;
};

/// Waits for the whole answer, as long as the client does.
void Collect(Ticket& ticket, const ResponseHead& head, const httplib::Request& request,
             httplib::Response& response) {
  std::string text;
  auto next_look = Clock::now() + kPatience;
  while (true) {
    const std::optional<GenerateEvent> event = ticket.events.Take(kPatience);
    if (event) text += event->text;
    if (event && event->finished) {
      if (event->finish_reason == FinishReason::kCancelled) return ReplyError(response, CutOff());
      return Reply(response, 200, ResponseJson(head, text, event->finish_reason, event->stats));
    }
    if (Clock::now() >= next_look) {
      if (request.is_connection_closed()) ticket.cancelled = true;
      next_look = Clock::now() + kPatience;
    }
  }
}

}  // namespace

struct HttpServer::Impl {
  Impl(InferenceThread* inference_in, HttpServerOptions options_in)
      : inference(inference_in), options(std::move(options_in)), started(std::time(nullptr)) {}

  void AddRoutes();
  bool Authorized(const httplib::Request& request) const;
  void Complete(ApiKind kind, const httplib::Request& request, httplib::Response& response);
  Result<std::vector<Token>> PromptOf(const ApiRequest& request) const;

  InferenceThread* inference;
  HttpServerOptions options;
  int64_t started;
  httplib::Server server;
  std::atomic<size_t> n_answering{0};
  std::atomic<bool> has_run{false};  ///< Run has returned
};

HttpServer::HttpServer(InferenceThread* inference, HttpServerOptions options)
    : impl_(std::make_unique<Impl>(inference, std::move(options))) {
  impl_->AddRoutes();
}

HttpServer::~HttpServer() = default;

Result<int> HttpServer::Bind() {
  Impl& impl = *impl_;
  const std::string& host = impl.options.host;
  const std::vector<std::string>& keys = impl.options.api_keys;
  if (std::find(keys.begin(), keys.end(), "") != keys.end()) {
    return Fail(ErrorCode::kInvalidArgument, "an API key is empty, expected at least a character");
  }
  if (!IsLoopback(host) && keys.empty()) {
    return Fail(ErrorCode::kInvalidArgument,
                "{} can be reached from other machines: that needs an API key (--api-key)", host);
  }
  const int port =
      impl.options.port == 0
          ? impl.server.bind_to_any_port(host)
          : (impl.server.bind_to_port(host, impl.options.port) ? impl.options.port : -1);
  if (port < 0) {
    return Fail(ErrorCode::kIo, "cannot listen on {}:{}: the port is taken or not allowed", host,
                impl.options.port);
  }
  return port;
}

void HttpServer::Run() {
  impl_->server.listen_after_bind();
  impl_->has_run = true;
}

void HttpServer::Stop(std::chrono::milliseconds drain) {
  Impl& impl = *impl_;
  impl.inference->Close(Clock::now() + drain);
  // The last words of the answers are still on their way.
  const Clock::time_point patience = Clock::now() + std::chrono::seconds(2);
  while (impl.n_answering > 0 && Clock::now() < patience) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  // httplib forgets a stop that comes before it listens.
  while (!impl.server.is_running() && !impl.has_run) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  impl.server.stop();
}

bool HttpServer::Impl::Authorized(const httplib::Request& request) const {
  if (options.api_keys.empty() || request.path == "/health" || request.path == "/v1/health") {
    return true;
  }
  std::string given = request.get_header_value("Authorization");
  constexpr std::string_view kBearer = "Bearer ";
  given = given.rfind(kBearer, 0) == 0 ? given.substr(kBearer.size())
                                       : request.get_header_value("X-Api-Key");
  bool known = false;
  for (const std::string& key : options.api_keys) known |= EqualSecret(given, key);
  return known;
}

void HttpServer::Impl::AddRoutes() {
  server.set_payload_max_length(options.max_body_bytes);
  server.set_tcp_nodelay(true);  // tokens are small and shall not wait for each other
  server.set_socket_options([](socket_t socket) {
    // Not SO_REUSEPORT, with which a second server would take half of the connections.
    const int on = 1;
    setsockopt(socket, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
  });
  server.new_task_queue = [n_threads = inference->max_requests() + kSpareThreads] {
    return new httplib::ThreadPool(n_threads, kMaxWaitingConnections);
  };
  server.set_pre_routing_handler([this](const auto& request, auto& response) {
    if (Authorized(request)) return httplib::Server::HandlerResponse::Unhandled;
    Reply(response, 401,
          {{"error",
            {{"message", "no valid API key"}, {"type", "authentication_error"}, {"code", 401}}}});
    return httplib::Server::HandlerResponse::Handled;
  });
  server.set_error_handler([](const auto& request, auto& response) {
    if (!response.body.empty()) return httplib::Server::HandlerResponse::Unhandled;
    if (response.status == 404) {
      ReplyError(response, {ErrorCode::kNotFound,
                            fmt::format("no {} {} here", request.method, request.path)});
    } else {
      Reply(response, response.status,
            {{"error",
              {{"message", httplib::status_message(response.status)},
               {"type", "invalid_request_error"},
               {"code", response.status}}}});
    }
    return httplib::Server::HandlerResponse::Handled;
  });
  server.set_exception_handler([](const auto&, auto& response, const std::exception_ptr& thrown) {
    std::string message = "unknown error";
    try {
      std::rethrow_exception(thrown);
    } catch (const std::exception& error) {
      message = error.what();
    } catch (...) {
    }
    ReplyError(response, {ErrorCode::kIo, message});
  });

  const auto health = [](const auto&, auto& response) { Reply(response, 200, {{"status", "ok"}}); };
  const auto models = [this](const auto&, auto& response) {
    Reply(response, 200, ModelsJson(inference->model(), options.model_id, started));
  };
  const auto complete = [this](ApiKind kind) {
    return [this, kind](const httplib::Request& request, httplib::Response& response) {
      Complete(kind, request, response);
    };
  };
  for (const char* prefix : {"", "/v1"}) {
    const std::string base = prefix;
    server.Get(base + "/health", health);
    server.Get(base + "/models", models);
    server.Post(base + "/chat/completions", complete(ApiKind::kChat));
  }
  server.Post("/v1/completions", complete(ApiKind::kCompletion));
}

Result<std::vector<Token>> HttpServer::Impl::PromptOf(const ApiRequest& request) const {
  const Model& model = inference->model();
  if (const auto* tokens = std::get_if<std::vector<Token>>(&request.input)) return *tokens;
  if (const auto* text = std::get_if<std::string>(&request.input)) {
    return model.EncodePrompt(*text);
  }
  return model.EncodeChat(std::get<std::vector<ChatMessage>>(request.input));
}

void HttpServer::Impl::Complete(ApiKind kind, const httplib::Request& request,
                                httplib::Response& response) {
  Result<ApiRequest> parsed = ParseApiRequest(kind, request.body);
  if (!parsed) return ReplyError(response, parsed.error());
  Result<std::vector<Token>> prompt = PromptOf(*parsed);
  if (!prompt) return ReplyError(response, prompt.error());
  parsed->generate.prompt = std::move(*prompt);
  Result<std::shared_ptr<Ticket>> ticket = inference->Submit(std::move(parsed->generate));
  if (!ticket) return ReplyError(response, ticket.error());

  const ResponseHead head{kind, NewResponseId(kind), std::time(nullptr), options.model_id};
  if (!parsed->stream) {
    const Answering answering(&n_answering);
    return Collect(**ticket, head, request, response);
  }
  auto stream = std::make_shared<EventStream>(*ticket, head, parsed->include_usage, &n_answering);
  response.set_header("Cache-Control", "no-cache");
  response.set_chunked_content_provider(
      "text/event-stream",
      [stream](size_t, httplib::DataSink& sink) { return stream->Write(sink); });
}

}  // namespace quern
