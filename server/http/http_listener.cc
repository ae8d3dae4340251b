#include "server/http/http_listener.h"

#include <httplib.h>

#include <utility>

#include "server/http/guarded_server.h"

namespace quern {
namespace {

using Handled = httplib::Server::HandlerResponse;

HttpRequest Neutral(const httplib::Request& request) {
  HttpRequest neutral;
  neutral.method = request.method;
  neutral.target = request.target;
  neutral.path = request.path;
  neutral.parameters.insert(request.params.begin(), request.params.end());
  for (const auto& [name, value] : request.headers) neutral.headers.Add(name, value);
  neutral.body = request.body;
  neutral.remote = request.remote_addr;
  neutral.is_connection_closed = request.is_connection_closed;
  return neutral;
}

class Sink final : public HttpSink {
 public:
  explicit Sink(httplib::DataSink* sink) : sink_(sink) {}

  bool Write(std::string_view piece) override { return sink_->write(piece.data(), piece.size()); }
  bool is_writable() const override { return sink_->is_writable(); }

 private:
  httplib::DataSink* sink_;
};

bool WriteNext(BodyStream& stream, httplib::DataSink& data_sink) {
  Sink sink(&data_sink);
  switch (stream.WriteNext(sink)) {
    case BodyStream::State::kGoesOn:
      return true;
    case BodyStream::State::kEnded:
      data_sink.done();
      return true;
    case BodyStream::State::kBroken:
      break;
  }
  return false;
}

void Write(HttpReply reply, httplib::Response* response) {
  response->status = reply.status;
  for (const auto& [name, value] : reply.headers) response->set_header(name, value);
  if (auto* stream = std::get_if<std::shared_ptr<BodyStream>>(&reply.body)) {
    response->set_chunked_content_provider(
        reply.content_type, [stream = std::move(*stream)](size_t, httplib::DataSink& sink) {
          return WriteNext(*stream, sink);
        });
  } else if (auto& text = std::get<std::string>(reply.body); !text.empty()) {
    response->set_content(std::move(text), reply.content_type);
  }
}

httplib::Server::Handler Writing(HttpListener::Handler handler) {
  return
      [handler = std::move(handler)](const httplib::Request& request, httplib::Response& response) {
        Write(handler(Neutral(request)), &response);
      };
}

}  // namespace

struct HttpListener::Impl {
  explicit Impl(const ConnectionLimits& limits) : server(limits) {}

  GuardedServer server;
};

HttpListener::HttpListener(const ConnectionLimits& limits)
    : impl_(std::make_unique<Impl>(limits)) {}

HttpListener::~HttpListener() = default;

void HttpListener::Get(const std::string& path, Handler handler) {
  impl_->server.Get(path, Writing(std::move(handler)));
}

void HttpListener::Post(const std::string& path, Handler handler) {
  impl_->server.Post(path, Writing(std::move(handler)));
}

void HttpListener::set_interceptor(std::function<Interception(const HttpRequest&)> interceptor) {
  impl_->server.set_pre_routing_handler(
      [interceptor = std::move(interceptor)](const httplib::Request& request,
                                             httplib::Response& response) {
        Interception interception = interceptor(Neutral(request));
        for (const auto& [name, value] : interception.headers) response.set_header(name, value);
        if (!interception.reply) return Handled::Unhandled;
        Write(*std::move(interception.reply), &response);
        return Handled::Handled;
      });
}

void HttpListener::set_error_handler(
    std::function<HttpReply(const HttpRequest&, const HttpError&)> handler) {
  impl_->server.set_error_handler(
      [handler = std::move(handler)](const httplib::Request& request, httplib::Response& response) {
        if (!response.body.empty()) return Handled::Unhandled;  // it is a handler's
        const HttpError error{response.status, httplib::status_message(response.status)};
        Write(handler(Neutral(request), error), &response);
        return Handled::Handled;
      });
}

void HttpListener::set_refusal_logger(
    std::function<void(const std::string&, const HttpError&)> logger) {
  impl_->server.set_refusal_logger(std::move(logger));
}

void HttpListener::set_tls(const TlsServer* tls) { impl_->server.set_tls(tls); }

Result<int> HttpListener::Bind(const std::string& host, int port) {
  return impl_->server.Bind(host, port);
}

void HttpListener::Run() { impl_->server.Run(); }

void HttpListener::Stop() { impl_->server.Stop(); }

}  // namespace quern
