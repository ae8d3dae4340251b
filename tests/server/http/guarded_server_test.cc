// Clients that are slow, silent, too many or malformed, over real sockets.
#include "server/http/guarded_server.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <atomic>
#include <chrono>
#include <deque>
#include <functional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "tests/server/raw_client.h"
#include "tests/testing/await.h"

namespace quern {
namespace {

using std::chrono::milliseconds;
using testing::Await;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

constexpr const char* kHello = "GET /hello HTTP/1.1\r\nHost: h\r\n\r\n";
constexpr std::chrono::hours kForever(1);

ConnectionLimits Patient() {
  return {.head = kForever, .body = kForever, .idle = kForever, .write = kForever};
}

/// GET /hello, POST /echo, GET /flood, which writes until it cannot, and POST /closed behind a
/// pre-routing handler that answers 401.
class Server {
 public:
  explicit Server(const ConnectionLimits& limits = Patient()) : server_(limits) {
    server_.Get("/hello", [](const auto&, auto& response) { response.set_content("hi", "a/b"); });
    server_.Post("/echo", [this](const auto& request, auto& response) {
      ++n_echoes_;
      response.set_content("<" + request.body + ">", "a/b");
    });
    server_.Get("/flood", [this](const auto&, auto& response) {
      const std::string drop(1 << 13, 'x');
      response.set_chunked_content_provider(
          "a/b",
          [this, drop](size_t, httplib::DataSink& sink) {
            ++n_drops_;
            return sink.write(drop.data(), drop.size());
          },
          [this](bool) { flood_ended_ = true; });
    });
    server_.set_pre_routing_handler([](const auto& request, auto& response) {
      if (request.path != "/closed") return httplib::Server::HandlerResponse::Unhandled;
      response.status = 401;
      return httplib::Server::HandlerResponse::Handled;
    });
    server_.set_refusal_logger([this](const std::string& remote, const HttpError& error) {
      if (remote == "127.0.0.1") last_refusal_ = error.status;
    });
    port_ = server_.Bind("127.0.0.1", 0).value();
    thread_ = std::thread([this] { server_.Run(); });
  }
  ~Server() { Stop(); }
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  void Stop() {
    server_.Stop();
    if (thread_.joinable()) thread_.join();
  }
  int port() const { return port_; }
  int n_echoes() const { return n_echoes_; }
  int last_refusal() const { return last_refusal_; }
  int n_drops() const { return n_drops_; }
  bool flood_ended() const { return flood_ended_; }
  GuardedServer& server() { return server_; }

  /// The whole answer to `bytes`.
  std::string Ask(std::string_view bytes) const {
    RawClient client(port_);
    client.Send(bytes);
    client.EndSending();
    return client.ReadAll();
  }

 private:
  GuardedServer server_;
  int port_ = 0;
  std::thread thread_;
  std::atomic<int> n_echoes_{0};
  std::atomic<int> last_refusal_{0};
  std::atomic<int> n_drops_{0};
  std::atomic<bool> flood_ended_{false};
};

/// An answer that refuses: the status, OpenAI's error object with it, and the end.
void ExpectRefusal(const std::string& answer, int status) {
  EXPECT_THAT(answer, StartsWith("HTTP/1.1 " + std::to_string(status) + " "));
  EXPECT_THAT(answer, HasSubstr("Connection: close\r\n"));
  EXPECT_THAT(answer, HasSubstr("Content-Type: application/json\r\n"));
  EXPECT_THAT(answer, HasSubstr("\r\n\r\n{\"error\":{\"message\":\""));
  EXPECT_THAT(answer, EndsWith("\"code\":" + std::to_string(status) + "}}"));
}

TEST(GuardedServer, ServesRequestAfterRequest) {
  Server server;
  RawClient client(server.port());
  for (int i = 0; i < 3; ++i) {
    client.Send(kHello);
    EXPECT_THAT(client.ReadTo("\r\n\r\nhi"), StartsWith("HTTP/1.1 200 OK"));
  }
  // Together, with empty lines between, and a body that ends exactly where the next begins.
  client.Send(std::string(kHello) +
              "\r\n\r\nPOST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc" + kHello +
              "POST /echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
              "2\r\nde\r\n1;x\r\nf\r\n0\r\nT: 1\r\n\r\n"
              "GET /hello HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
  const std::string answers = client.ReadAll();
  EXPECT_THAT(answers, HasSubstr("\r\n\r\nhiHTTP/1.1 200 OK"));
  EXPECT_THAT(answers, HasSubstr("\r\n\r\n<abc>HTTP/1.1 200 OK"));
  EXPECT_THAT(answers, HasSubstr("\r\n\r\n<def>HTTP/1.1 200 OK"));
  EXPECT_THAT(answers, EndsWith("\r\n\r\nhi"));
}

TEST(GuardedServer, APostWithoutLengthHasNoBody) {
  Server server;
  RawClient client(server.port());
  client.Send("POST /echo HTTP/1.1\r\nHost: h\r\n\r\n");
  EXPECT_THAT(client.ReadTo("<>"), EndsWith("<>"));
}

TEST(GuardedServer, ABodyThatNoHandlerReadsIsNoRequest) {
  Server server;
  RawClient client(server.port());
  const std::string smuggled = "POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n";
  client.Send("POST /closed HTTP/1.1\r\nHost: h\r\nContent-Length: " +
              std::to_string(smuggled.size()) + "\r\n\r\n" + smuggled + kHello);
  const std::string answers = client.ReadTo("\r\n\r\nhi");
  EXPECT_THAT(answers, StartsWith("HTTP/1.1 401"));
  EXPECT_THAT(answers, HasSubstr("HTTP/1.1 200"));
  EXPECT_EQ(server.n_echoes(), 0);
}

TEST(GuardedServer, ExpectContinueIsAnswered) {
  Server server;
  RawClient client(server.port());
  client.Send(
      "POST /echo HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n");
  EXPECT_EQ(client.ReadTo("\r\n\r\n"), "HTTP/1.1 100 Continue\r\n\r\n");
  client.Send("ab");
  EXPECT_THAT(client.ReadTo("<ab>"), EndsWith("<ab>"));
}

TEST(GuardedServer, MalformedRequestsAreRefused) {
  Server server;
  const std::string post = "POST /echo HTTP/1.1\r\nHost: h\r\n";
  ExpectRefusal(server.Ask("hello\r\n\r\n"), 400);
  ExpectRefusal(server.Ask("GET /hello HTTP/1.1\nHost: h\n\n"), 400);
  ExpectRefusal(server.Ask("BREW /hello HTTP/1.1\r\nHost: h\r\n\r\n"), 405);
  ExpectRefusal(
      server.Ask(post + "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"), 400);
  ExpectRefusal(server.Ask(post + "Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd"), 400);
  ExpectRefusal(server.Ask(post + "Content-Length: -3\r\n\r\nabc"), 400);
  ExpectRefusal(server.Ask(post + "Transfer-Encoding: chunked\r\n\r\n3\nabc\r\n0\r\n\r\n"), 400);
  ExpectRefusal(server.Ask(post + "Transfer-Encoding: chunked\r\n\r\nzz\r\n"), 400);
  EXPECT_EQ(server.last_refusal(), 400);
  EXPECT_EQ(server.n_echoes(), 0);
  EXPECT_THAT(server.Ask(kHello), EndsWith("hi"));
}

TEST(GuardedServer, BrokenOffRequestsAreRefused) {
  Server server;
  ExpectRefusal(server.Ask("POST /echo HTTP/1.1\r\nHo"), 400);
  ExpectRefusal(server.Ask("POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\nabc"), 400);
  ExpectRefusal(
      server.Ask("POST /echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nabc"),
      400);
  EXPECT_EQ(server.Ask(""), "");
  EXPECT_EQ(server.n_echoes(), 0);
}

TEST(GuardedServer, LargeRequestsAreRefused) {
  ConnectionLimits limits = Patient();
  limits.max_body_bytes = 1000;
  Server server(limits);
  const std::string post = "POST /echo HTTP/1.1\r\nHost: h\r\n";
  // Refused by what it says, before it is sent.
  RawClient client(server.port());
  client.Send(post + "Content-Length: 1001\r\n\r\n");
  ExpectRefusal(client.ReadAll(), 413);
  ExpectRefusal(server.Ask(post + "Content-Length: 99999999999999999999\r\n\r\n"), 413);
  ExpectRefusal(server.Ask(post + "Transfer-Encoding: chunked\r\n\r\n3e9\r\n"), 413);
  ExpectRefusal(server.Ask("GET /" + std::string(10'000, 'x') + " HTTP/1.1\r\nHost: h\r\n\r\n"),
                414);
  ExpectRefusal(server.Ask("GET / HTTP/1.1\r\nX: " + std::string(50'000, 'x') + "\r\n\r\n"), 431);
  // An endless line.
  ExpectRefusal(server.Ask(std::string(1 << 20, 'x')), 431);
  EXPECT_THAT(server.Ask(post + "Content-Length: 1000\r\n\r\n" + std::string(1000, 'x')),
              EndsWith("<" + std::string(1000, 'x') + ">"));
  EXPECT_EQ(server.n_echoes(), 1);
}

TEST(GuardedServer, ATrickleOfAHeadIsCutOff) {
  ConnectionLimits limits = Patient();
  limits.head = milliseconds(100);
  Server server(limits);
  RawClient client(server.port());
  client.Trickle("GET /" + std::string(100'000, 'x'), milliseconds(5));
  ExpectRefusal(client.ReadAll(), 408);
}

TEST(GuardedServer, ATrickleOfABodyIsCutOff) {
  ConnectionLimits limits = Patient();
  limits.body = milliseconds(100);
  Server server(limits);
  for (const char* framing : {"Content-Length: 100000\r\n\r\n",
                              "Transfer-Encoding: chunked\r\n\r\n"
                              "186a0\r\n"}) {
    RawClient client(server.port());
    client.Send(std::string("POST /echo HTTP/1.1\r\nHost: h\r\n") + framing);
    client.Trickle(std::string(100'000, 'x'), milliseconds(5));
    ExpectRefusal(client.ReadAll(), 408);
  }
  EXPECT_EQ(server.n_echoes(), 0);
  EXPECT_EQ(server.last_refusal(), 408);
}

TEST(GuardedServer, IdleConnectionsAreClosed) {
  ConnectionLimits limits = Patient();
  limits.idle = milliseconds(50);
  Server server(limits);
  RawClient silent(server.port());
  EXPECT_EQ(silent.ReadAll(), "");
  RawClient used(server.port());
  used.Send(kHello);
  EXPECT_THAT(used.ReadAll(), EndsWith("hi"));
}

TEST(GuardedServer, AReaderThatStallsIsCutOff) {
  ConnectionLimits limits = Patient();
  limits.write = milliseconds(100);
  Server server(limits);
  RawClient client(server.port(), 4096);
  client.Send("GET /flood HTTP/1.1\r\nHost: h\r\n\r\n");
  Await("the end of the flood", [&] { return server.flood_ended(); });
  EXPECT_THAT(server.Ask(kHello), EndsWith("hi"));
}

TEST(GuardedServer, SlowClientsDoNotHoldUpOthers) {
  Server server;
  std::deque<RawClient> slow;
  for (int i = 0; i < 300; ++i) {
    RawClient& client = slow.emplace_back(server.port());
    ASSERT_TRUE(client.connected());
    client.Send(i % 3 == 0   ? ""
                : i % 3 == 1 ? "GET /hello HTT"
                             : "POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\nabc");
  }
  EXPECT_THAT(server.Ask(kHello), EndsWith("hi"));
  EXPECT_GE(server.server().n_connections(), 300U);
  // All of them are served still.
  slow[1].Send("P/1.1\r\nHost: h\r\n\r\n");
  EXPECT_THAT(slow[1].ReadTo("hi"), EndsWith("hi"));
  slow[2].Send("defghi");
  EXPECT_THAT(slow[2].ReadTo("<abcdefghi>"), EndsWith("<abcdefghi>"));
  slow.clear();
  Await("no connection", [&] { return server.server().n_connections() == 0; });
}

TEST(GuardedServer, MoreConnectionsThanAllowedAreTurnedAway) {
  ConnectionLimits limits = Patient();
  limits.max_connections = 2;
  Server server(limits);
  std::deque<RawClient> flooded;  // which are served, and thus owe nothing
  for (int i = 0; i < 2; ++i) {
    flooded.emplace_back(server.port(), 4096).Send("GET /flood HTTP/1.1\r\nHost: h\r\n\r\n");
    flooded.back().ReadTo("x");
  }
  const std::string answer = server.Ask(kHello);
  ExpectRefusal(answer, 503);
  EXPECT_THAT(answer, HasSubstr("Retry-After: 1\r\n"));
  flooded.pop_back();
  Await("fewer than 2 connections", [&] { return server.server().n_connections() < 2; });
  EXPECT_THAT(server.Ask(kHello), EndsWith("hi"));
}

TEST(GuardedServer, AConnectionThatWaitsForItsClientGivesWay) {
  ConnectionLimits limits = Patient();
  limits.max_connections = 1;
  Server server(limits);
  RawClient slow(server.port());
  slow.Send("GET /hello");
  // Newcomers are turned away while this one may yet be honest, and then one takes its place.
  std::string answer;
  Await("another answer than 503",
        [&] { return (answer = server.Ask(kHello)).find(" 503 ") == std::string::npos; });
  EXPECT_THAT(answer, EndsWith("hi"));
  EXPECT_THAT(slow.ReadAll(), Not(HasSubstr("200")));
}

TEST(GuardedServer, StoppingWaitsForNoClient) {
  Server server;
  RawClient idle(server.port());
  RawClient used(server.port());
  used.Send(kHello);
  used.ReadTo("hi");
  RawClient in_head(server.port());
  in_head.Send("GET /hello HTT");
  RawClient in_body(server.port());
  in_body.Send("POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\nabc");
  RawClient stalled(server.port(), 4096);
  stalled.Send("GET /flood HTTP/1.1\r\nHost: h\r\n\r\n");
  Await("5 connections", [&] { return server.server().n_connections() == 5; });
  auto before = server.n_drops();
  Await("a halted flood", [&] {  // for the flood to come to a halt
    std::this_thread::sleep_for(milliseconds(20));
    return std::exchange(before, server.n_drops()) == server.n_drops() && before > 0;
  });
  server.Stop();  // with limits of an hour
  EXPECT_EQ(idle.ReadAll(), "");
  EXPECT_EQ(server.server().n_connections(), 0U);
  EXPECT_TRUE(server.flood_ended());
}

TEST(GuardedServer, AStopBeforeRunHolds) {
  GuardedServer server({});
  ASSERT_TRUE(server.Bind("127.0.0.1", 0));
  server.Stop();
  server.Run();
}

TEST(GuardedServer, APortIsTakenOnce) {
  Server server;
  GuardedServer second({});
  const Result<int> port = second.Bind("127.0.0.1", server.port());
  ASSERT_FALSE(port);
  EXPECT_EQ(port.error().code, ErrorCode::kIo);
}

TEST(GuardedServer, ServesDescriptorsThatSelectCannot) {
  rlimit limit{};
  getrlimit(RLIMIT_NOFILE, &limit);
  if (limit.rlim_max < 1200) GTEST_SKIP() << "only " << limit.rlim_max << " descriptors allowed";
  rlimit more = limit;
  more.rlim_cur = std::max<rlim_t>(limit.rlim_cur, 1200);
  setrlimit(RLIMIT_NOFILE, &more);
  std::vector<int> taken;
  while (taken.empty() || taken.back() < 1100) {
    taken.push_back(open("/dev/null", O_RDONLY | O_CLOEXEC));
    ASSERT_GE(taken.back(), 0);
  }
  {
    Server server;
    EXPECT_THAT(server.Ask(kHello), EndsWith("hi"));
    RawClient client(server.port());
    EXPECT_GT(client.descriptor(), 1024);
    client.Send("GET /flood HTTP/1.1\r\nHost: h\r\n\r\n");  // asks whether the client is there
    EXPECT_THAT(client.ReadTo(std::string(100, 'x')), StartsWith("HTTP/1.1 200"));
  }
  for (const int descriptor : taken) close(descriptor);
  setrlimit(RLIMIT_NOFILE, &limit);
}

}  // namespace
}  // namespace quern
