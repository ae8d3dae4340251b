// The whole server over real sockets, with a small model behind it.
#include "server/http_server.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <httplib.h>

#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "server/openai_api.h"
#include "tools/demo_model/demo_model.h"

namespace quern {
namespace {

using testing::HasSubstr;

std::shared_ptr<const Model> LoadDemo() {
  const Result<GgufFile> file = GgufFile::FromMemory(DemoModelBytes(), "demo");
  return Model::Load(*file).value();
}

/// A running server with one thread of inference.
class Serving {
 public:
  explicit Serving(HttpServerOptions options = {}, size_t max_requests = 8)
      : inference_(Engine::Create(LoadDemo(), {.n_ctx = 512, .n_threads = 1}).value(),
                   max_requests),
        server_(&inference_, WithAnyPort(std::move(options))),
        port_(server_.Bind().value()),
        thread_([this] { server_.Run(); }) {
    client_ = std::make_unique<httplib::Client>("127.0.0.1", port_);
  }
  ~Serving() {
    server_.Stop();
    thread_.join();
  }
  Serving(const Serving&) = delete;
  Serving& operator=(const Serving&) = delete;

  httplib::Client& client() { return *client_; }
  InferenceThread& inference() { return inference_; }
  httplib::Result Post(const std::string& path, const std::string& body) {
    return client_->Post(path, body, "application/json");
  }

 private:
  static HttpServerOptions WithAnyPort(HttpServerOptions options) {
    options.port = 0;
    options.model_id = "demo";
    return options;
  }
  InferenceThread inference_;
  HttpServer server_;
  int port_;
  std::thread thread_;
  std::unique_ptr<httplib::Client> client_;
};

constexpr const char* kSum = R"({"prompt": "What is 2+2? Answer:", "temperature": 0)";

TEST(HttpServer, AnswersHealthAndModels) {
  Serving serving;
  const auto health = serving.client().Get("/health");
  ASSERT_TRUE(health);
  EXPECT_EQ(health->status, 200);
  const auto models = serving.client().Get("/v1/models");
  ASSERT_TRUE(models);
  EXPECT_EQ(Json::parse(models->body)["data"][0]["id"], "demo");
}

TEST(HttpServer, Completes) {
  Serving serving;
  const auto response = serving.Post("/v1/completions", std::string(kSum) + "}");
  ASSERT_TRUE(response);
  ASSERT_EQ(response->status, 200) << response->body;
  const Json body = Json::parse(response->body);
  EXPECT_EQ(body["choices"][0]["text"], " 4");
  EXPECT_EQ(body["choices"][0]["finish_reason"], "stop");
  EXPECT_EQ(body["usage"]["completion_tokens"], 3);  // " ", "4", end
}

TEST(HttpServer, ChatsAndStreamsTheSameText) {
  Serving serving;
  const std::string request =
      R"({"messages": [{"role": "user", "content": "What does bread mean?"}], "temperature": 0)";
  const auto whole = serving.Post("/v1/chat/completions", request + "}");
  ASSERT_TRUE(whole);
  ASSERT_EQ(whole->status, 200) << whole->body;
  const std::string text = Json::parse(whole->body)["choices"][0]["message"]["content"];
  EXPECT_THAT(text, HasSubstr("Bread (noun):"));

  const auto stream =
      serving.Post("/v1/chat/completions",
                   request + R"(, "stream": true, "stream_options": {"include_usage": true}})");
  ASSERT_TRUE(stream);
  EXPECT_EQ(stream->get_header_value("Content-Type"), "text/event-stream");
  std::string streamed;
  std::vector<Json> chunks;
  size_t at = 0;
  for (size_t end = 0; (end = stream->body.find("\n\n", at)) != std::string::npos; at = end + 2) {
    const std::string line = stream->body.substr(at, end - at);
    ASSERT_EQ(line.rfind("data: ", 0), 0U) << line;
    if (line == "data: [DONE]") break;
    chunks.push_back(Json::parse(line.substr(6)));
    for (const Json& choice : chunks.back()["choices"]) {
      streamed += choice["delta"].value("content", "");
    }
  }
  EXPECT_EQ(streamed, text);
  EXPECT_EQ(stream->body.substr(at), "data: [DONE]\n\n");
  ASSERT_GE(chunks.size(), 3U);
  EXPECT_EQ(chunks.front()["choices"][0]["delta"]["role"], "assistant");
  EXPECT_EQ(chunks[chunks.size() - 2]["choices"][0]["finish_reason"], "stop");
  EXPECT_EQ(chunks.back()["usage"], Json::parse(whole->body)["usage"]);
}

TEST(HttpServer, ManyClientsGetTheirOwnAnswers) {
  Serving serving;
  std::vector<std::thread> clients;
  std::vector<std::string> texts(8);
  for (size_t i = 0; i < texts.size(); ++i) {
    clients.emplace_back([&, i] {
      httplib::Client client("127.0.0.1", serving.client().port());
      const std::string prompt = "What is " + std::to_string(i) + "+1? Answer:";
      const auto response =
          client.Post("/v1/completions", R"({"temperature": 0, "prompt": ")" + prompt + "\"}",
                      "application/json");
      if (response) texts[i] = Json::parse(response->body)["choices"][0]["text"];
    });
  }
  for (std::thread& client : clients) client.join();
  for (size_t i = 0; i < texts.size(); ++i) EXPECT_EQ(texts[i], " " + std::to_string(i + 1));
}

TEST(HttpServer, ErrorsAreJsonWithTheRightStatus) {
  Serving serving;
  const auto missing = serving.client().Get("/nothing");
  ASSERT_TRUE(missing);
  EXPECT_EQ(missing->status, 404);
  EXPECT_EQ(Json::parse(missing->body)["error"]["message"], "no GET /nothing here");

  const auto bad = serving.Post("/v1/completions", "{");
  ASSERT_TRUE(bad);
  EXPECT_EQ(bad->status, 400);
  EXPECT_EQ(Json::parse(bad->body)["error"]["type"], "invalid_request_error");

  std::string words;
  for (int i = 0; i < 600; ++i) words += " word";
  const auto too_long = serving.Post("/v1/completions", R"({"prompt": ")" + words + "\"}");
  ASSERT_TRUE(too_long);
  EXPECT_EQ(too_long->status, 400);
  EXPECT_THAT(too_long->body, HasSubstr("the context of 512"));
}

TEST(HttpServer, AFullQueueAsksToComeBack) {
  Serving serving({}, 0);
  const auto response = serving.Post("/v1/completions", std::string(kSum) + "}");
  ASSERT_TRUE(response);
  EXPECT_EQ(response->status, 429);
  EXPECT_EQ(response->get_header_value("Retry-After"), "1");
}

TEST(HttpServer, AClientThatLeavesFreesItsPlace) {
  Serving serving;
  httplib::Client client("127.0.0.1", serving.client().port());
  size_t received = 0;
  httplib::Request request;
  request.method = "POST";
  request.path = "/v1/completions";
  request.set_header("Content-Type", "application/json");
  request.body = R"({"prompt": "a", "max_tokens": 500, "ignore_eos": true, "stream": true})";
  request.content_receiver = [&](const char*, size_t n, uint64_t, uint64_t) {
    received += n;
    return false;  // leaves after the first piece
  };
  const auto response = client.send(request);
  EXPECT_EQ(response.error(), httplib::Error::Canceled) << httplib::to_string(response.error());
  EXPECT_GT(received, 0U);
  while (serving.inference().n_active() > 0) std::this_thread::yield();
}

TEST(HttpServer, KeysGuardAllButHealth) {
  HttpServerOptions options;
  options.api_keys = {"secret", "other"};
  Serving serving(options);
  EXPECT_EQ(serving.client().Get("/health")->status, 200);
  EXPECT_EQ(serving.client().Get("/v1/models")->status, 401);
  EXPECT_EQ(serving.client().Get("/v1/models", {{"Authorization", "Bearer wrong"}})->status, 401);
  EXPECT_EQ(serving.client().Get("/v1/models", {{"Authorization", "Bearer other"}})->status, 200);
  EXPECT_EQ(serving.client().Get("/v1/models", {{"X-Api-Key", "secret"}})->status, 200);
}

TEST(HttpServer, APublicAddressNeedsAKey) {
  InferenceThread inference(Engine::Create(LoadDemo(), {.n_ctx = 64, .n_threads = 1}).value(), 1);
  HttpServerOptions options;
  options.host = "0.0.0.0";
  HttpServer server(&inference, options);
  const Result<int> port = server.Bind();
  ASSERT_FALSE(port);
  EXPECT_THAT(port.error().message, HasSubstr("needs an API key"));
}

}  // namespace
}  // namespace quern
