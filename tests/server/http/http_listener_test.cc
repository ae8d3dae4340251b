// Requests and replies of our own types over a real socket.
#include "server/http/http_listener.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <httplib.h>

#include <atomic>
#include <memory>
#include <string>
#include <thread>

namespace quern {
namespace {

using ::testing::HasSubstr;

/// Counts up to `n`, a piece each.
class Counting final : public BodyStream {
 public:
  Counting(int n, State last) : n_(n), last_(last) {}

  State WriteNext(HttpSink& sink) override {
    EXPECT_TRUE(sink.is_writable());
    EXPECT_TRUE(sink.Write(std::to_string(++i_) + " "));
    return i_ < n_ ? State::kGoesOn : last_;
  }

 private:
  int n_;
  State last_;
  int i_ = 0;
};

HttpReply Text(std::string text) {
  return {
      .headers = {{"X-From", "handler"}}, .content_type = "text/plain", .body = std::move(text)};
}

class HttpListenerTest : public ::testing::Test {
 protected:
  HttpListenerTest() : listener_(ConnectionLimits()) {
    listener_.Post("/echo", [](const HttpRequest& request) {
      return Text(request.method + ' ' + request.target + ' ' + request.path + ' ' +
                  request.Parameter("a") + ' ' + request.headers.Get("x-mine") + ' ' +
                  std::string(request.body) + ' ' + request.remote);
    });
    listener_.Get("/count", [](const HttpRequest&) {
      return HttpReply{.content_type = "text/plain",
                       .body = std::make_shared<Counting>(3, BodyStream::State::kEnded)};
    });
    listener_.Get("/break", [](const HttpRequest&) {
      return HttpReply{.content_type = "text/plain",
                       .body = std::make_shared<Counting>(2, BodyStream::State::kBroken)};
    });
    listener_.Get("/refused", [](const HttpRequest&) {
      return HttpReply{.status = 400, .content_type = "text/plain", .body = "a handler's own"};
    });
    listener_.set_interceptor([this](const HttpRequest& request) {
      ++n_seen_;
      EXPECT_TRUE(request.body.empty());
      HttpListener::Interception interception{.headers = {{"X-All", "1"}}, .reply = {}};
      if (request.path == "/stop") interception.reply = HttpReply{.status = 403};
      return interception;
    });
    listener_.set_error_handler([](const HttpRequest& request, const HttpError& error) {
      HttpReply reply = Text(request.path + ": " + error.message);
      reply.status = error.status;
      return reply;
    });
    client_ =
        std::make_unique<httplib::Client>("127.0.0.1", listener_.Bind("127.0.0.1", 0).value());
    thread_ = std::thread([this] { listener_.Run(); });
  }
  ~HttpListenerTest() override {
    listener_.Stop();
    thread_.join();
  }

  std::atomic<int> n_seen_{0};
  HttpListener listener_;
  std::unique_ptr<httplib::Client> client_;
  std::thread thread_;
};

TEST_F(HttpListenerTest, HandlersSeeTheRequest) {
  const auto reply = client_->Post("/echo?a=b%20c", {{"X-Mine", "yes"}}, "the body", "text/plain");
  ASSERT_TRUE(reply);
  EXPECT_EQ(reply->status, 200);
  EXPECT_EQ(reply->body, "POST /echo?a=b%20c /echo b c yes the body 127.0.0.1");
  EXPECT_EQ(reply->get_header_value("X-From"), "handler");
  EXPECT_EQ(reply->get_header_value("X-All"), "1");
  EXPECT_EQ(reply->get_header_value("Content-Type"), "text/plain");
}

TEST_F(HttpListenerTest, StreamsEndOrBreak) {
  EXPECT_EQ(client_->Get("/count")->body, "1 2 3 ");
  const auto broken = client_->Get("/break");
  EXPECT_FALSE(broken) << "a client can tell that it is not whole";
  EXPECT_EQ(client_->Get("/count")->body, "1 2 3 ");
}

TEST_F(HttpListenerTest, WhatComesToNoHandlerHasAReplyToo) {
  const auto missing = client_->Get("/nothing");
  ASSERT_TRUE(missing);
  EXPECT_EQ(missing->status, 404);
  EXPECT_THAT(missing->body, HasSubstr("/nothing: Not Found"));
  EXPECT_EQ(missing->get_header_value("X-All"), "1");
  EXPECT_EQ(client_->Get("/refused")->body, "a handler's own");
}

TEST_F(HttpListenerTest, TheInterceptorComesFirst) {
  const auto stopped = client_->Post("/stop", "body", "text/plain");
  ASSERT_TRUE(stopped);
  EXPECT_EQ(stopped->status, 403);
  EXPECT_EQ(n_seen_, 1);
}

}  // namespace
}  // namespace quern
