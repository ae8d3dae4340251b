// The whole server over real sockets, with a small model behind it.
#include "server/http_server.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <httplib.h>

#include <chrono>
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
  explicit Serving(HttpServerOptions options = {}, size_t max_requests = 8, size_t n_ctx = 512)
      : inference_(Engine::Create(LoadDemo(), {.n_ctx = n_ctx, .n_threads = 1}).value(),
                   max_requests),
        server_(&inference_, WithAnyPort(std::move(options))),
        port_(server_.Bind().value()),
        thread_([this] { server_.Run(); }) {
    client_ = std::make_unique<httplib::Client>("127.0.0.1", port_);
  }
  ~Serving() { Stop(std::chrono::milliseconds(0)); }
  Serving(const Serving&) = delete;
  Serving& operator=(const Serving&) = delete;

  void Stop(std::chrono::milliseconds drain) {
    if (!thread_.joinable()) return;
    server_.Stop(drain);
    thread_.join();
  }
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

// An answer that would take minutes.
constexpr size_t kLongContext = 1 << 20;
constexpr const char* kEndless = R"({"prompt": "a", "ignore_eos": true, "max_tokens": 1000000)";

/// Whether the server holds `n` requests before long.
bool Holds(InferenceThread& inference, size_t n) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(30);
  while (inference.n_active() != n) {
    if (std::chrono::steady_clock::now() > deadline) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  return true;
}

TEST(HttpServer, AClientThatLeavesAStreamFreesItsPlace) {
  Serving serving({}, 8, kLongContext);
  httplib::Client client("127.0.0.1", serving.client().port());
  size_t received = 0;
  httplib::Request request;
  request.method = "POST";
  request.path = "/v1/completions";
  request.set_header("Content-Type", "application/json");
  request.body = std::string(kEndless) + R"(, "stream": true})";
  request.content_receiver = [&](const char*, size_t n, uint64_t, uint64_t) {
    received += n;
    return false;  // leaves after the first piece
  };
  const auto response = client.send(request);
  EXPECT_EQ(response.error(), httplib::Error::Canceled) << httplib::to_string(response.error());
  EXPECT_GT(received, 0U);
  EXPECT_TRUE(Holds(serving.inference(), 0));
}

TEST(HttpServer, AClientThatLeavesAWholeAnswerFreesItsPlace) {
  Serving serving({}, 8, kLongContext);
  httplib::Client client("127.0.0.1", serving.client().port());
  client.set_read_timeout(std::chrono::milliseconds(200));
  const auto response =
      client.Post("/v1/completions", std::string(kEndless) + "}", "application/json");
  EXPECT_EQ(response.error(), httplib::Error::Read) << httplib::to_string(response.error());
  client.stop();
  EXPECT_TRUE(Holds(serving.inference(), 0));
}

TEST(HttpServer, AnswersHealthWhileAllPlacesAreTaken) {
  constexpr size_t kPlaces = 12;
  Serving serving({}, kPlaces, kLongContext);
  std::vector<std::thread> clients;
  for (size_t i = 0; i < kPlaces; ++i) {
    clients.emplace_back([&] {
      httplib::Client client("127.0.0.1", serving.client().port());
      client.Post("/v1/completions", std::string(kEndless) + "}", "application/json");
    });
  }
  EXPECT_TRUE(Holds(serving.inference(), kPlaces));
  const auto health = serving.client().Get("/health");
  ASSERT_TRUE(health) << httplib::to_string(health.error());
  EXPECT_EQ(health->status, 200);
  const auto refused = serving.Post("/v1/completions", std::string(kSum) + "}");
  ASSERT_TRUE(refused);
  EXPECT_EQ(refused->status, 429);
  serving.Stop(std::chrono::milliseconds(0));
  for (std::thread& client : clients) client.join();
}

/// Posts in a thread of its own; `out` gets status and body.
std::thread PostBeside(Serving& serving, const std::string& body, std::string* out) {
  return std::thread([&serving, body, out] {
    httplib::Client client("127.0.0.1", serving.client().port());
    const auto response = client.Post("/v1/completions", body, "application/json");
    *out = response ? std::to_string(response->status) + response->body : "lost";
  });
}

TEST(HttpServer, StoppingLetsAnswersFinish) {
  Serving serving;
  std::string answer;
  std::thread client =
      PostBeside(serving, R"({"prompt": "a", "ignore_eos": true, "max_tokens": 300})", &answer);
  EXPECT_TRUE(Holds(serving.inference(), 1));
  serving.Stop(std::chrono::seconds(60));
  client.join();
  EXPECT_THAT(answer, testing::StartsWith("200"));
  EXPECT_THAT(answer, HasSubstr(R"("completion_tokens":300)"));
}

TEST(HttpServer, StoppingCutsOffWhatDoesNotFinish) {
  Serving serving({}, 8, kLongContext);
  std::string whole;
  std::string streamed;
  std::thread first = PostBeside(serving, std::string(kEndless) + "}", &whole);
  std::thread second =
      PostBeside(serving, std::string(kEndless) + R"(, "stream": true})", &streamed);
  EXPECT_TRUE(Holds(serving.inference(), 2));
  serving.Stop(std::chrono::milliseconds(100));
  first.join();
  second.join();
  EXPECT_THAT(whole, testing::StartsWith("503"));
  EXPECT_THAT(whole, HasSubstr("the server is shutting down"));
  EXPECT_THAT(streamed, testing::StartsWith("200"));
  EXPECT_THAT(streamed, HasSubstr(R"(data: {"error":{"message":"the server is shutting down")"));
}

TEST(HttpServer, APortIsTakenOnce) {
  Serving serving;
  InferenceThread inference(Engine::Create(LoadDemo(), {.n_ctx = 64, .n_threads = 1}).value(), 1);
  HttpServerOptions options;
  options.port = serving.client().port();
  HttpServer second(&inference, options);
  const Result<int> port = second.Bind();
  ASSERT_FALSE(port);
  EXPECT_THAT(port.error().message, HasSubstr("the port is taken"));
}

TEST(HttpServer, AnEmptyKeyIsRefused) {
  InferenceThread inference(Engine::Create(LoadDemo(), {.n_ctx = 64, .n_threads = 1}).value(), 1);
  HttpServerOptions options;
  options.api_keys = {"secret", ""};
  HttpServer server(&inference, options);
  const Result<int> port = server.Bind();
  ASSERT_FALSE(port);
  EXPECT_THAT(port.error().message, HasSubstr("an API key is empty"));
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
  EXPECT_EQ(serving.client().Get("/v1/models", {{"X-Api-Key", ""}})->status, 401);
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
