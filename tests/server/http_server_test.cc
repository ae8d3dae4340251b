// The whole server over real sockets, with a small model behind it.
#include "server/http_server.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <httplib.h>

#include <chrono>
#include <future>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "server/api/response_format.h"
#include "tests/server/serving.h"
#include "tests/testing/await.h"
#include "tests/testing/temp_dir.h"
#include "tests/testing/write_file.h"

namespace quern {
namespace {

using ::testing::HasSubstr;

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
    if (line == ":") continue;  // on a slow machine: it keeps the connection
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
      const std::string prompt = fmt::format("What is {}+1? Answer:", i);
      const auto response =
          client.Post("/v1/completions", R"({"temperature": 0, "prompt": ")" + prompt + "\"}",
                      "application/json");
      if (response) texts[i] = Json::parse(response->body)["choices"][0]["text"];
    });
  }
  for (std::thread& client : clients) client.join();
  for (size_t i = 0; i < texts.size(); ++i) EXPECT_EQ(texts[i], fmt::format(" {}", i + 1));
}

TEST(HttpServer, ErrorsAreJsonWithTheRightStatus) {
  Serving serving;
  const auto missing = serving.client().Get("/nothing");
  ASSERT_TRUE(missing);
  EXPECT_EQ(missing->status, 404);
  EXPECT_EQ(Json::parse(missing->body)["error"]["message"], "no GET /nothing here");

  const auto not_post = serving.client().Get("/v1/completions");
  ASSERT_TRUE(not_post);
  EXPECT_EQ(not_post->status, 405);
  EXPECT_EQ(not_post->get_header_value("Allow"), "POST");
  EXPECT_EQ(Json::parse(not_post->body)["error"]["message"], "/v1/completions takes POST, not GET");

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

/// The same for a stream; returns when the answer has begun.
std::thread StreamBeside(Serving& serving, const std::string& body, std::string* out) {
  auto begun = std::make_shared<std::promise<void>>();
  std::future<void> has_begun = begun->get_future();
  std::thread thread([&serving, body, out, begun] {
    httplib::Request request;
    request.method = "POST";
    request.path = "/v1/completions";
    request.set_header("Content-Type", "application/json");
    request.body = body;
    std::string received;
    request.content_receiver = [&](const char* data, size_t n, uint64_t, uint64_t) {
      if (received.empty()) begun->set_value();
      received.append(data, n);
      return true;
    };
    httplib::Client client("127.0.0.1", serving.client().port());
    const auto response = client.send(request);
    if (received.empty()) begun->set_value();
    *out = response ? std::to_string(response->status) + received : "lost";
  });
  testing::AwaitValue("the stream's beginning", has_begun);
  return thread;
}

TEST(HttpServer, StoppingLetsAnswersFinish) {
  Serving serving;
  std::string answer;
  std::thread client =
      PostBeside(serving, R"({"prompt": "a", "ignore_eos": true, "max_tokens": 300})", &answer);
  EXPECT_TRUE(Holds(serving.inference(), 1));
  serving.Stop(std::chrono::hours(1));
  client.join();
  EXPECT_THAT(answer, ::testing::StartsWith("200"));
  EXPECT_THAT(answer, HasSubstr(R"("completion_tokens":300)"));
}

TEST(HttpServer, StoppingCutsOffWhatDoesNotFinish) {
  Serving serving({}, 8, kLongContext);
  std::string whole;
  std::string streamed;
  std::thread first = PostBeside(serving, std::string(kEndless) + "}", &whole);
  std::thread second =
      StreamBeside(serving, std::string(kEndless) + R"(, "stream": true})", &streamed);
  EXPECT_TRUE(Holds(serving.inference(), 2));
  serving.Stop(std::chrono::milliseconds(100));
  first.join();
  second.join();
  EXPECT_THAT(whole, ::testing::StartsWith("503"));
  EXPECT_THAT(whole, HasSubstr("the server is shutting down"));
  EXPECT_THAT(streamed, ::testing::StartsWith("200"));
  EXPECT_THAT(streamed, HasSubstr(R"(data: {"error":{"message":"the server is shutting down")"));
}

TEST(HttpServer, APortIsTakenOnce) {
  Serving serving;
  HttpServerOptions options;
  options.port = serving.client().port();
  Metrics metrics("1");
  ModelPool pool;
  HttpServer second(options, &pool, &metrics, nullptr);
  const Result<int> port = second.Bind();
  ASSERT_FALSE(port);
  EXPECT_THAT(port.error().message, HasSubstr("the port is taken"));
}

TEST(HttpServer, AnEmptyKeyIsRefused) {
  HttpServerOptions options;
  options.api_keys = {"secret", ""};
  const Status status = HttpServer::Check(options);
  ASSERT_FALSE(status);
  EXPECT_THAT(status.error().message, HasSubstr("an API key is empty"));
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

TEST(HttpServer, AKeyFileIsReadAgain) {
  const testing::TempDir dir;
  HttpServerOptions options;
  options.api_key_file = dir.File("keys");
  options.api_keys = {"constant"};
  testing::WriteFile(options.api_key_file, "first\n");
  Serving serving(options);
  const auto status_with = [&](const char* key) {
    return serving.client().Get("/v1/models", {{"X-Api-Key", key}})->status;
  };
  EXPECT_TRUE(serving.server().CanReload());
  EXPECT_EQ(status_with("first"), 200);
  testing::WriteFile(options.api_key_file, "second\n");
  EXPECT_EQ(status_with("first"), 200);
  ASSERT_TRUE(serving.server().Reload());
  EXPECT_EQ(status_with("first"), 401);
  EXPECT_EQ(status_with("second"), 200);
  testing::WriteFile(options.api_key_file, "third\nbad line\n");
  EXPECT_THAT(serving.server().Reload().error().message, HasSubstr("keys, line 2"));
  EXPECT_EQ(status_with("second"), 200);
  EXPECT_EQ(status_with("third"), 401);
  EXPECT_EQ(status_with("constant"), 200);
}

TEST(HttpServer, TokensOfTheDayOutlastIt) {
  const testing::TempDir dir;
  HttpServerOptions options;
  options.api_key_file = dir.File("keys");
  options.usage_file = dir.File("usage");
  const ApiKey bob = ApiKey::Create("bob", "b", {.tokens_per_day = 1000}).value();
  testing::WriteFile(options.api_key_file, bob.Line() + "\n");
  std::string left = "1000";
  for (int i = 0; i < 2; ++i) {  // two servers, one after the other
    Serving serving(options);
    const auto answer = serving.client().Post("/v1/completions", {{"X-Api-Key", "b"}},
                                              std::string(kSum) + "}", "application/json");
    EXPECT_EQ(answer->get_header_value("x-ratelimit-remaining-tokens"), left);
    const int spent = nlohmann::json::parse(answer->body)["usage"]["total_tokens"];
    left = std::to_string(std::stoi(left) - spent);
  }
  testing::WriteFile(options.usage_file, "2026-11-26 bob many\n");
  const Status checked = HttpServer::Check(options);
  ASSERT_FALSE(checked);
  EXPECT_THAT(checked.error().message, HasSubstr("usage, line 1: '2026-11-26 bob many' is no"));
}

TEST(HttpServer, LimitsHoldForEachKey) {
  const testing::TempDir dir;
  HttpServerOptions options;
  options.api_key_file = dir.File("keys");
  const ApiKey alice =
      ApiKey::Create("alice", "a", {.rate = RequestRate{2, std::chrono::hours(24)}}).value();
  const ApiKey bob = ApiKey::Create("bob", "b", {.tokens_per_day = 3}).value();
  testing::WriteFile(options.api_key_file, fmt::format("{}\n{}\n", alice.Line(), bob.Line()));
  Serving serving(options);
  const auto post = [&](const char* key, const std::string& body) {
    return serving.client().Post("/v1/completions", {{"X-Api-Key", key}}, body, "application/json");
  };
  const auto start = std::chrono::steady_clock::now();
  EXPECT_EQ(post("a", "{}")->status, 400);  // counts all the same
  const auto second = post("a", std::string(kSum) + "}");
  EXPECT_EQ(second->status, 200);
  EXPECT_EQ(second->get_header_value("x-ratelimit-remaining-requests"), "0");
  const auto third = post("a", std::string(kSum) + "}");
  EXPECT_EQ(third->status, 429);
  // 12 hours, less what has passed since the first.
  const auto passed =
      std::chrono::ceil<std::chrono::seconds>(std::chrono::steady_clock::now() - start);
  EXPECT_THAT(std::stoi(third->get_header_value("Retry-After")),
              ::testing::AllOf(::testing::Ge(43200 - passed.count()), ::testing::Le(43200)));
  EXPECT_EQ(third->get_header_value_count("Retry-After"), 1U);
  EXPECT_THAT(third->body, HasSubstr("\"type\":\"rate_limit_exceeded\""));
  EXPECT_EQ(serving.client().Get("/v1/models", {{"X-Api-Key", "a"}})->status, 200);

  EXPECT_EQ(post("b", std::string(kSum) + "}")->status, 200);
  const auto spent = post("b", std::string(kSum) + "}");
  EXPECT_EQ(spent->status, 429);
  EXPECT_EQ(spent->get_header_value("x-ratelimit-remaining-tokens"), "0");
}

TEST(HttpServer, APublicAddressNeedsAKey) {
  HttpServerOptions options;
  options.host = "0.0.0.0";
  const Status status = HttpServer::Check(options);
  ASSERT_FALSE(status);
  EXPECT_THAT(status.error().message, HasSubstr("needs an API key"));
}

TEST(HttpServer, AFullQueueAsksToComeBack) {
  Serving serving({}, {.n_ctx = kLongContext, .max_running = 1, .n_threads = 1}, 1);
  std::vector<std::thread> clients;
  std::vector<std::string> answers(2);
  for (std::string& answer : answers) {
    clients.push_back(PostBeside(serving, std::string(kEndless) + "}", &answer));
  }
  EXPECT_TRUE(Holds(serving.inference(), 2));
  const auto response = serving.Post("/v1/completions", std::string(kSum) + "}");
  ASSERT_TRUE(response);
  EXPECT_EQ(response->status, 429);
  EXPECT_EQ(response->get_header_value("Retry-After"), "1");
  serving.Stop(std::chrono::milliseconds(0));
  for (std::thread& client : clients) client.join();
}

TEST(HttpServer, SaysThatItIsLoadingUntilThereIsAModel) {
  Serving serving{Serving::NoModels()};
  std::promise<void> go_on;
  ServedModel demo = ServedDemo("demo", {.n_threads = 1}, 0, &serving.metrics());
  demo.preload = true;
  demo.load = [load = demo.load, wait = go_on.get_future().share()](const ModelRecipe& recipe) {
    testing::AwaitValue("leave to go on", wait);
    return load(recipe);
  };
  std::thread loading([&] { serving.Offer({.any_name = true}, {std::move(demo)}); });
  testing::Await("the offer", [&] { return !serving.pool().status().empty(); });
  for (const char* path : {"/health", "/props", "/slots"}) {
    const auto response = serving.client().Get(path);
    ASSERT_TRUE(response);
    EXPECT_EQ(response->status, 503) << path;
    EXPECT_NE(response->get_header_value("Retry-After"), "");
  }
  const std::string models = serving.client().Get("/v1/models")->body;
  EXPECT_THAT(models, HasSubstr(R"("id":"demo")"));
  EXPECT_THAT(models, ::testing::Not(HasSubstr(R"("value":"loaded")")));
  EXPECT_EQ(serving.Post("/v1/completions", std::string(kSum) + "}")->status, 503);
  EXPECT_EQ(serving.client().Get("/metrics")->status, 200);
  EXPECT_EQ(serving.client().Get("/version")->status, 200);
  go_on.set_value();
  loading.join();
  EXPECT_EQ(serving.client().Get("/health")->status, 200);
  EXPECT_EQ(serving.Post("/v1/completions", std::string(kSum) + "}")->status, 200);
}

TEST(HttpServer, ARequestThatWaitsTooLongIsTurnedAway) {
  HttpServerOptions options;
  // Long enough for the first one to leave the line, on a machine as slow as a sanitizer makes it.
  options.answering.queue_timeout = std::chrono::seconds(1);
  Serving serving(options, {.n_ctx = kLongContext, .max_running = 1, .n_threads = 1}, 1);
  std::string running;
  std::thread first = PostBeside(serving, std::string(kEndless) + "}", &running);
  EXPECT_TRUE(Holds(serving.inference(), 1));
  for (const char* stream : {"false", "true"}) {
    const auto response =
        serving.Post("/v1/completions", std::string(kSum) + R"(, "stream": )" + stream + "}");
    ASSERT_TRUE(response);
    EXPECT_EQ(response->status, 503);
    EXPECT_THAT(response->body, HasSubstr("the request waited 1 s in the queue"));
    EXPECT_TRUE(Holds(serving.inference(), 1));
  }
  serving.Stop(std::chrono::milliseconds(0));
  first.join();
}

TEST(HttpServer, RequestsHaveNames) {
  Serving serving;
  EXPECT_EQ(serving.client().Get("/health")->get_header_value("X-Request-Id").size(), 16U);
  EXPECT_EQ(serving.client().Get("/nothing")->get_header_value("X-Request-Id").size(), 16U);
  const httplib::Headers mine = {{"X-Request-Id", "mine-1"}};
  EXPECT_EQ(serving.client().Get("/health", mine)->get_header_value("X-Request-Id"), "mine-1");
  const httplib::Headers bad = {{"X-Request-Id", "\"quoted\""}};
  EXPECT_EQ(serving.client().Get("/health", bad)->get_header_value("X-Request-Id").size(), 16U);
}

/// The value of a metric, with its labels, or -1.
double MetricOf(Serving& serving, const std::string& name) {
  const std::string text = serving.client().Get("/metrics")->body;
  const size_t at = text.find("\n" + name + " ");
  return at == std::string::npos ? -1 : std::stod(text.substr(at + name.size() + 2));
}

/// Whether a metric of the engine has the value before long: the engine tells of a step after its
/// answers, which may be here before.
bool Becomes(Serving& serving, const std::string& name, double value) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(30);
  while (MetricOf(serving, name) != value) {
    if (std::chrono::steady_clock::now() > deadline) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  return true;
}

TEST(HttpServer, MetricsCountRequestsAndTokens) {
  Serving serving;
  ASSERT_EQ(serving.Post("/v1/completions", std::string(kSum) + "}")->status, 200);
  ASSERT_EQ(serving.Post("/v1/completions", std::string(kSum) + R"(, "stream": true})")->status,
            200);
  ASSERT_EQ(serving.Post("/v1/completions", "{")->status, 400);
  ASSERT_EQ(serving.client().Get("/nothing")->status, 404);
  EXPECT_TRUE(Becomes(serving, "llamacpp:tokens_predicted_total", 6));
  // A stream is told of when it has been written, which its client may see before.
  EXPECT_TRUE(Becomes(serving, "quern_time_to_first_token_seconds_count", 2));
  EXPECT_EQ(MetricOf(serving, "quern_inter_token_latency_seconds_count"), 4);
  EXPECT_TRUE(Becomes(serving, "quern_kv_pages{state=\"in_use\"}", 0));
}

TEST(HttpServer, MetricsTellOfAFullQueue) {
  Serving serving({}, {.n_ctx = kLongContext, .max_running = 1, .n_threads = 1}, 0);
  EXPECT_EQ(MetricOf(serving, "quern_requests_limit"), 1);
  std::string answer;
  std::thread client = PostBeside(serving, std::string(kEndless) + "}", &answer);
  EXPECT_TRUE(Holds(serving.inference(), 1));
  EXPECT_EQ(serving.Post("/v1/completions", std::string(kSum) + "}")->status, 429);
  EXPECT_EQ(serving.Post("/v1/completions", "{")->status, 400);
  EXPECT_TRUE(Becomes(serving, "quern_requests_rejected_total", 2));
  EXPECT_TRUE(Becomes(serving, "quern_requests_turned_away_total", 1));
  serving.Stop(std::chrono::milliseconds(0));
  client.join();
}

/// Sampled answers of one request differ, are those of the seeds that follow its own, and come in
/// order.
TEST(HttpServer, GivesAsManyAnswersAsAsked) {
  Serving serving;
  const std::string request =
      R"({"prompt": ["What is 1+1? Answer:", "The"], "ignore_eos": true, "max_tokens": 12, "seed": )";
  const Json body = Json::parse(serving.Post("/v1/completions", request + R"(7, "n": 2})")->body);
  ASSERT_EQ(body["choices"].size(), 4U);
  EXPECT_EQ(body["usage"]["completion_tokens"], 48);
  for (size_t i = 0; i < 4; ++i) EXPECT_EQ(body["choices"][i]["index"], i);
  const Json next = Json::parse(serving.Post("/v1/completions", request + "8}")->body);
  EXPECT_EQ(body["choices"][1]["text"], next["choices"][0]["text"]);
  EXPECT_EQ(body["choices"][3]["text"], next["choices"][1]["text"]);
  EXPECT_NE(body["choices"][2]["text"], body["choices"][3]["text"]);
  EXPECT_EQ(body["usage"]["prompt_tokens"], next["usage"]["prompt_tokens"]);
}

/// More answers than places: they follow each other.
TEST(HttpServer, GivesMoreAnswersThanRunTogether) {
  Serving serving({}, {.max_running = 2, .n_threads = 1}, 0);
  const auto response = serving.Post(
      "/v1/completions", R"({"prompt": "What is 2+2? Answer:", "temperature": 0, "n": 20})");
  ASSERT_EQ(response->status, 200) << response->body;
  const Json choices = Json::parse(response->body)["choices"];
  ASSERT_EQ(choices.size(), 20U);
  for (const Json& choice : choices) EXPECT_EQ(choice["text"], " 4");
  const auto stream = serving.Post("/v1/completions",
                                   R"({"prompt": "a", "max_tokens": 1, "n": 9, "stream": true})");
  EXPECT_THAT(stream->body, HasSubstr("[DONE]"));
  const auto too_many =
      serving.Post("/v1/embeddings", Json{{"input", std::vector<std::string>(3000, "a")}}.dump());
  EXPECT_EQ(too_many->status, 400);
  EXPECT_THAT(too_many->body, HasSubstr("the request is for 3000 answers"));
  const auto many =
      serving.Post("/v1/embeddings", Json{{"input", std::vector<std::string>(100, "a")}}.dump());
  EXPECT_EQ(Json::parse(many->body)["data"].size(), 100U);
}

/// lm-eval's way: the last of the log-probabilities is the generated token's, even if that is the
/// end.
TEST(HttpServer, AnEchoScoresTheTokenThatEndsToo) {
  Serving serving;
  const Json body = Json::parse(
      serving
          .Post("/v1/completions",
                R"({"prompt": "What is 2+2? Answer: 4", "temperature": 0, "max_tokens": 1,
                    "echo": true, "logprobs": 1})")
          ->body);
  const Json& logprobs = body["choices"][0]["logprobs"];
  const size_t n_prompt = body["usage"]["prompt_tokens"];
  EXPECT_EQ(body["choices"][0]["text"], "What is 2+2? Answer: 4");
  EXPECT_EQ(logprobs["token_logprobs"].size(), n_prompt + 1);
  EXPECT_EQ(logprobs["tokens"].size(), n_prompt + 1);
}

/// Only what the last model said is written out.
TEST(HttpServer, AFallbackLeavesNothingOfTheFirstTry) {
  Serving serving{Serving::NoModels()};
  ServedModel broken = ServedDemo("broken", {.n_threads = 1}, 0, &serving.metrics());
  broken.load = [](const ModelRecipe&) -> Result<std::unique_ptr<InferenceThread>> {
    return Fail(ErrorCode::kIo, "gone");
  };
  ServedModel full = ServedDemo("full", {.n_ctx = kLongContext, .max_running = 1, .n_threads = 1},
                                0, &serving.metrics());
  ServedModel good = ServedDemo("good", {.n_threads = 1}, 0, &serving.metrics());
  serving.Offer({.load_wait = std::chrono::minutes(10)}, {full, broken, good});
  Router router;
  router.name = "auto";
  router.default_model = "full";
  router.fallback = {"broken", "good"};
  RouteRule to_broken;
  to_broken.name = "all-broken";
  to_broken.model = "broken";
  to_broken.min_prompt_bytes = 100;
  router.rules = {to_broken};
  serving.server().SetRouters(Routers::Create({router}, "auto").value());

  // The first model's one place is taken, so that it says 429 with Retry-After.
  std::string endless;
  std::thread client =
      PostBeside(serving, std::string(kEndless) + R"(, "model": "full"})", &endless);
  while (serving.pool().status()[0].state != ModelState::kLoaded) std::this_thread::yield();
  EXPECT_TRUE(Holds(serving.inference(), 1));
  for (const char* stream : {"false", "true"}) {
    const auto reply =
        serving.Post("/v1/completions", std::string(kSum) + R"(, "stream": )" + stream + "}");
    ASSERT_TRUE(reply);
    EXPECT_EQ(reply->status, 200) << reply->body;
    EXPECT_EQ(reply->get_header_value("X-Quern-Model"), "good");
    EXPECT_EQ(reply->get_header_value("X-Quern-Route"), "auto/fallback");
    for (const char* once : {"X-Quern-Model", "X-Quern-Route", "Content-Type", "X-Request-Id"}) {
      EXPECT_EQ(reply->get_header_value_count(once), 1U) << once;
    }
    EXPECT_FALSE(reply->has_header("Retry-After"));
    EXPECT_THAT(reply->body, ::testing::Not(HasSubstr("error")));
  }
  // A bad request is no reason to try another.
  const auto bad = serving.Post("/v1/completions", R"({"prompt": [2147483647], "model": "auto"})");
  EXPECT_EQ(bad->status, 400);
  EXPECT_EQ(bad->get_header_value("X-Quern-Route"), "auto/default");
  // Where all fail, the last one's failure is told.
  router.fallback = {"full"};
  serving.server().SetRouters(Routers::Create({router}, "auto").value());
  const std::string long_prompt = R"({"prompt": ")" + std::string(200, 'a') + "\"}";
  const auto failed = serving.Post("/v1/completions", long_prompt);
  EXPECT_EQ(failed->status, 429);
  EXPECT_EQ(failed->get_header_value("X-Quern-Model"), "full");
  EXPECT_EQ(failed->get_header_value_count("Retry-After"), 1U);
  serving.Stop(std::chrono::milliseconds(0));
  client.join();
}

/// Routes go by images and tools, though no model can do either yet; and a body that makes no sense
/// has no model loaded.
TEST(HttpServer, ABodyIsReadBeforeItIsRouted) {
  Serving serving{Serving::NoModels()};
  serving.Offer({.load_wait = std::chrono::minutes(10)},
                {ServedDemo("small", {.n_threads = 1}, 0, &serving.metrics()),
                 ServedDemo("seer", {.n_threads = 1}, 0, &serving.metrics())});
  Router router;
  router.name = "auto";
  router.default_model = "small";
  RouteRule images;
  images.name = "images";
  images.model = "seer";
  images.images = true;
  router.rules = {images};
  serving.server().SetRouters(Routers::Create({router}, "auto").value());
  EXPECT_EQ(serving.Post("/v1/completions", R"({"prompt": "a", "temperature": "hot"})")->status,
            400);
  for (const ModelStatus& status : serving.pool().status()) {
    EXPECT_EQ(status.state, ModelState::kUnloaded);
  }
  EXPECT_EQ(serving.Post("/v1/completions", R"({"prompt": "a", "model": "other"})")->status, 404);
  const auto seen = serving.Post(
      "/v1/chat/completions",
      R"({"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}]})");
  EXPECT_EQ(seen->status, 400);
  EXPECT_EQ(seen->get_header_value("X-Quern-Model"), "seer");
  EXPECT_EQ(seen->get_header_value("X-Quern-Route"), "auto/images");
  EXPECT_THAT(seen->body, HasSubstr("only text is supported"));
}

/// While answers run, a long prompt is read in small pieces, and monitors are answered meanwhile.
TEST(HttpServer, ShowsWhatRuns) {
  Serving serving({}, {.n_ctx = kLongContext, .max_running = 2, .n_threads = 1}, 1);
  std::vector<std::thread> clients;
  std::vector<std::string> answers(3);
  for (std::string& answer : answers) {
    clients.push_back(PostBeside(serving, std::string(kEndless) + "}", &answer));
  }
  EXPECT_TRUE(Holds(serving.inference(), 3));
  Json slots;
  testing::Await("the second answer's begin", [&] {
    slots = Json::parse(serving.client().Get("/slots")->body);
    return slots.size() != 3 || slots[1].value("state", "") == "decode";
  });
  ASSERT_EQ(slots.size(), 3U);  // two places, and one that waits
  EXPECT_EQ(slots[0]["state"], "decode");
  EXPECT_EQ(slots[2]["state"], "waiting");
  EXPECT_EQ(serving.client().Get("/slots?fail_on_no_slot=1")->status, 503);
  serving.Stop(std::chrono::milliseconds(0));
  for (std::thread& client : clients) client.join();
}

}  // namespace
}  // namespace quern
