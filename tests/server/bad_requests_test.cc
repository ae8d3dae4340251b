// A corpus of malformed requests against a whole server: each gets a 4xx in OpenAI's shape, and the
// server goes on to answer as before.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <vector>

#include "tests/server/raw_client.h"
#include "tests/server/serving.h"
#include "tests/testing/await.h"

namespace quern {
namespace {

struct BadRequest {
  const char* name;
  std::string body;
  int status = 400;
};

std::string Repeat(std::string_view text, size_t n) {
  std::string repeated;
  repeated.reserve(text.size() * n);
  for (size_t i = 0; i < n; ++i) repeated += text;
  return repeated;
}

/// `field` beside a prompt that is fine.
std::string With(const std::string& field) { return R"({"prompt": "a", )" + field + "}"; }

std::vector<BadRequest> BadJson() {
  return {
      {"empty", ""},
      {"blank", " \n"},
      {"NUL", std::string(1, '\0')},
      {"a byte-order mark alone", "\xef\xbb\xbf"},
      {"open object", "{"},
      {"open string", R"({"prompt": "a)"},
      {"no value", R"({"prompt": })"},
      {"trailing comma", R"({"prompt": "a",})"},
      {"two values", R"({"prompt": "a"} {})"},
      {"single quotes", "{'prompt': 'a'}"},
      {"comment", R"({"prompt": "a" /* b */})"},
      {"form", "prompt=a&max_tokens=1"},
      {"binary", std::string("\x1f\x8b\x08\x00\x00", 5)},
      {"UTF-16", std::string("{\0\"\0p\0", 6)},
      {"invalid UTF-8", "{\"prompt\": \"\xff\xfe\"}"},
      {"overlong UTF-8", "{\"prompt\": \"\xc0\xaf\"}"},
      {"surrogate in UTF-8", "{\"prompt\": \"\xed\xa0\x80\"}"},
      {"lone high surrogate", R"({"prompt": "\ud800"})"},
      {"lone low surrogate", R"({"prompt": "\udc00"})"},
      {"NUL in a string", std::string("{\"prompt\": \"a\0b\"}", 17)},
      {"control character in a string", "{\"prompt\": \"a\nb\"}"},
      {"NaN", With(R"("temperature": NaN)")},
      {"1e999", With(R"("temperature": 1e999)")},
      {"-1e999", With(R"("seed": -1e999)")},
      {"leading zero", With(R"("max_tokens": 01)")},
      {"lists nested deeply", Repeat("[", 100'000) + Repeat("]", 100'000)},
      {"open lists nested deeply", Repeat("[", 100'000)},
      {"objects nested deeply", Repeat(R"({"a":)", 100'000) + "1" + Repeat("}", 100'000)},
      {"a prompt nested deeply",
       R"({"prompt": )" + Repeat("[", 100'000) + Repeat("]", 100'000) + "}"},
      {"an unknown field nested deeply",
       With(R"("x": )" + Repeat("[", 100'000) + Repeat("]", 100'000))},
      {"a string without end", R"({"prompt": ")" + std::string(1 << 20, 'x')},
  };
}

std::vector<BadRequest> BadCompletions() {
  std::string prompts = R"({"prompt": ["a")";
  prompts += Repeat(R"(, "a")", 99'999) + "]}";
  return {
      {"null", "null"},
      {"list", "[]"},
      {"string", R"("prompt")"},
      {"number", "1"},
      {"no prompt", "{}"},
      {"null prompt", R"({"prompt": null})"},
      {"object prompt", R"({"prompt": {"a": 1}})"},
      {"empty list", R"({"prompt": []})"},
      {"mixed list", R"({"prompt": [1, {}]})"},
      {"list in list in list", R"({"prompt": [[[1]]]})"},
      {"negative token", R"({"prompt": [-1]})"},
      {"token beyond the vocabulary", R"({"prompt": [2147483647]})"},
      {"token beyond 64 bits", R"({"prompt": [18446744073709551616]})"},
      {"fraction of a token", R"({"prompt": [1.5]})"},
      {"100,000 prompts", prompts},
      {"longer than the context", R"({"prompt": ")" + Repeat(" word", 2000) + "\"}"},
      {"prompt twice, the last wrong", R"({"prompt": "a", "prompt": 1})"},
      {"max_tokens -1.5", With(R"("max_tokens": -1.5)")},
      {"max_tokens -7", With(R"("max_tokens": -7)")},
      {"max_tokens text", With(R"("max_tokens": "16")")},
      {"max_tokens 2^64", With(R"("max_tokens": 18446744073709551616)")},
      {"max_tokens 1e308", With(R"("max_tokens": 1e308)")},
      {"max_tokens list", With(R"("max_tokens": [1])")},
      {"temperature text", With(R"("temperature": "hot")")},
      {"temperature -1", With(R"("temperature": -1)")},
      {"temperature 1e308", With(R"("temperature": 1e308)")},
      {"top_p 2", With(R"("top_p": 2)")},
      {"top_p object", With(R"("top_p": {})")},
      {"seed 2^70", With(R"("seed": 1180591620717411303424)")},
      {"seed object", With(R"("seed": {})")},
      {"n 0", With(R"("n": 0)")},
      {"n 1e9", With(R"("n": 1000000000)")},
      {"stream text", With(R"("stream": "yes")")},
      {"stream 1", With(R"("stream": 1)")},
      {"stream_options list", With(R"("stream_options": [])")},
      {"include_usage text", With(R"("stream": true, "stream_options": {"include_usage": "x"})")},
      {"stop number", With(R"("stop": 1)")},
      {"stop of numbers", With(R"("stop": [1])")},
      {"stop of 100,000", With(R"("stop": ["a")" + Repeat(R"(, "a")", 99'999) + "]")},
      {"logit_bias list", With(R"("logit_bias": [1])")},
      {"logit_bias of a word", With(R"("logit_bias": {"word": 1})")},
      {"logit_bias of a large id", With(R"("logit_bias": {"999999999999": 1})")},
      {"logit_bias of -1", With(R"("logit_bias": {"-1": 1})")},
      {"logit_bias text", With(R"("logit_bias": {"1": "x"})")},
      {"logit_bias 1e308", With(R"("logit_bias": {"1": 1e308})")},
      {"repeat_penalty text", With(R"("repeat_penalty": "x")")},
      {"presence_penalty 1e10", With(R"("presence_penalty": 1e10)")},
  };
}

std::vector<BadRequest> BadChats() {
  const auto content = [](const std::string& value) {
    return R"({"messages": [{"role": "user", "content": )" + value + "}]}";
  };
  return {
      {"no messages", "{}"},
      {"messages null", R"({"messages": null})"},
      {"messages text", R"({"messages": "hello"})"},
      {"messages object", R"({"messages": {}})"},
      {"no message", R"({"messages": []})"},
      {"message null", R"({"messages": [null]})"},
      {"message text", R"({"messages": ["hello"]})"},
      {"no role", R"({"messages": [{"content": "a"}]})"},
      {"role number", R"({"messages": [{"role": 1, "content": "a"}]})"},
      {"no content", R"({"messages": [{"role": "user"}]})"},
      {"content number", content("1")},
      {"content object", content("{}")},
      {"content part number", content("[1]")},
      {"content part without text", content(R"([{"type": "text"}])")},
      {"content part of an image",
       content(R"([{"type": "image_url", "image_url": {"url": "x"}}])")},
      {"content nested deeply", content(Repeat("[", 100'000) + Repeat("]", 100'000))},
      {"longer than the context", content('"' + Repeat(" word", 2000) + '"')},
  };
}

class BadRequests : public ::testing::Test {
 protected:
  /// The answer to `bytes` on a connection of their own, with nothing after them.
  std::string Ask(std::string_view bytes) {
    RawClient client(serving_.port());
    client.Send(bytes);
    client.EndSending();
    return client.ReadAll();
  }
  /// Leaves its side open: a client that closes it is taken to have left.
  std::string Post(const std::string& path, const std::string& body, const std::string& type) {
    RawClient client(serving_.port());
    client.Send("POST " + path + " HTTP/1.1\r\nHost: localhost\r\nContent-Type: " + type +
                "\r\nConnection: close\r\nContent-Length: " + std::to_string(body.size()) +
                "\r\n\r\n" + body);
    return client.ReadAll();
  }
  static void ExpectError(const std::string& answer, int status) {
    ASSERT_THAT(answer, ::testing::StartsWith("HTTP/1.1 " + std::to_string(status) + " "));
    const size_t body = answer.find("\r\n\r\n");
    ASSERT_NE(body, std::string::npos);
    const nlohmann::json error = nlohmann::json::parse(answer.substr(body + 4))["error"];
    EXPECT_EQ(error["code"], status);
    EXPECT_TRUE(error["type"].is_string());
    EXPECT_LT(error["message"].get<std::string>().size(), 400U);
    EXPECT_GT(error["message"].get<std::string>().size(), 5U);
  }
  void ExpectErrors(const std::string& path, const std::vector<BadRequest>& requests) {
    for (const BadRequest& request : requests) {
      SCOPED_TRACE(request.name);
      ExpectError(Post(path, request.body, "application/json"), request.status);
    }
    ExpectAlive();
  }
  void ExpectAlive() {
    const auto answer =
        serving_.Post("/v1/completions", R"({"prompt": "What is 2+2? Answer:", "temperature": 0})");
    ASSERT_TRUE(answer);
    ASSERT_EQ(answer->status, 200) << answer->body;
    EXPECT_EQ(nlohmann::json::parse(answer->body)["choices"][0]["text"], " 4");
    // It is counted for a moment after its answer; one that hung would be counted for ever.
    testing::Await("no answer under way", [&] { return serving_.inference().n_active() == 0; });
  }

  Serving serving_;
};

TEST_F(BadRequests, JsonOfCompletions) { ExpectErrors("/v1/completions", BadJson()); }
TEST_F(BadRequests, JsonOfChats) { ExpectErrors("/v1/chat/completions", BadJson()); }
TEST_F(BadRequests, Completions) { ExpectErrors("/v1/completions", BadCompletions()); }
TEST_F(BadRequests, Chats) { ExpectErrors("/v1/chat/completions", BadChats()); }

// What clients send without a thought.
TEST_F(BadRequests, SomeOddOnesAreAnswered) {
  for (const char* field :
       {R"("stop": "")", R"("stop": ["a", ""])", R"("stop": [])", R"("stop": null)",
        R"("logit_bias": {})", R"("logit_bias": null)", R"("user": {"any": ["thing"]})",
        R"("max_tokens": 3, "max_tokens": 2)", R"("max_tokens": 2.0)", R"("\u0000": 1)"}) {
    EXPECT_THAT(Post("/v1/completions", With(field), "text/plain"),
                ::testing::StartsWith("HTTP/1.1 200 "))
        << field;
  }
  ExpectAlive();
}

TEST_F(BadRequests, OtherTypesOfBodies) {
  for (const char* type : {"text/plain", "application/x-www-form-urlencoded", "multipart/form-data",
                           "multipart/form-data; boundary=x", ""}) {
    SCOPED_TRACE(type);
    ExpectError(Post("/v1/completions", "prompt=a", type), 400);
  }
  ExpectError(Ask("POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Encoding: gzip\r\n"
                  "Content-Length: 2\r\nConnection: close\r\n\r\n{}"),
              415);
  ExpectAlive();
}

TEST_F(BadRequests, HeadsAndFraming) {
  const std::string post = "POST /v1/completions HTTP/1.1\r\nHost: localhost\r\n";
  ExpectError(Ask("\x16\x03\x01\x02"), 400);  // TLS
  ExpectError(Ask("GET / HTTP/9.9\r\n\r\n"), 400);
  ExpectError(Ask("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), 400);
  ExpectError(Ask(post.substr(0, 30)), 400);
  ExpectError(Ask(post + "Content-Length: 100\r\n\r\n{\"prompt\": \"a\"}"), 400);
  ExpectError(Ask(post + "Content-Length: ten\r\n\r\n{}"), 400);
  ExpectError(Ask(post + "Content-Length: 99999999999\r\n\r\n{}"), 413);
  ExpectError(Ask(post + "Transfer-Encoding: chunked\r\n\r\nf\r\n{\"prompt\": \"a\"}\r\n"), 400);
  ExpectError(Ask(post + "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n"), 400);
  ExpectError(
      Ask("DELETE /v1/completions HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"), 405);
  ExpectError(Ask("GET /%00 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"), 404);
  ExpectError(Ask("GET /../../etc/passwd HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"),
              404);
  ExpectAlive();
}

TEST_F(BadRequests, PagesFromElsewhere) {
  const std::string length = "Connection: close\r\nContent-Length: 15\r\n\r\n{\"prompt\": \"a\"}";
  const std::string start = "POST /v1/completions HTTP/1.1\r\nContent-Type: text/plain\r\n";
  ExpectError(Ask(start + "Host: localhost\r\nOrigin: https://evil.com\r\n" + length), 403);
  ExpectError(Ask(start + "Host: evil.com\r\nOrigin: http://evil.com\r\n" + length), 403);
  ExpectError(Ask("GET /v1/models HTTP/1.1\r\nHost: evil.com\r\nConnection: close\r\n\r\n"), 403);
  ExpectAlive();
}

}  // namespace
}  // namespace quern
