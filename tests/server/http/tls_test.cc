// Certificates that are good or not, and clients that speak TLS to GuardedServer, well or badly.
#include "server/http/tls.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <openssl/ssl.h>

#include <array>
#include <atomic>
#include <chrono>
#include <memory>
#include <string>
#include <string_view>
#include <thread>

#include "server/access/certificate.h"
#include "server/http/guarded_server.h"
#include "tests/server/raw_client.h"
#include "tests/testing/await.h"
#include "tests/testing/temp_dir.h"
#include "tests/testing/write_file.h"

namespace quern {
namespace {

using std::chrono::milliseconds;
using ::testing::AllOf;
using testing::Await;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Ne;
using ::testing::StartsWith;
using testing::TempDir;
using testing::WriteFile;

constexpr const char* kHello = "GET /hello HTTP/1.1\r\nHost: h\r\n\r\n";
constexpr std::chrono::hours kForever(1);

/// A certificate in files.
class CertificateFiles {
 public:
  CertificateFiles() { Renew(); }

  void Renew() const {
    const Certificate made = MakeCertificate({"localhost", "127.0.0.1"}, 2).value();
    WriteFile(files().certificate, made.pem);
    WriteFile(files().key, made.key_pem);
  }
  TlsFiles files() const { return {dir_.File("server.crt"), dir_.File("server.key")}; }

 private:
  TempDir dir_;
};

/// GET /hello; GET /wait, which answers when its client is gone; GET /flood, which writes until it
/// cannot.
class Server {
 public:
  explicit Server(const TlsServer& tls, const ConnectionLimits& limits = Patient())
      : server_(limits) {
    server_.Get("/hello", [](const auto&, auto& response) { response.set_content("hi", "a/b"); });
    server_.Get("/wait", [this](const auto& request, auto&) {
      n_waiting_ = 1;
      Await("a client that leaves", [&] { return request.is_connection_closed(); });
      n_waiting_ = 0;
    });
    server_.Get("/flood", [this](const auto&, auto& response) {
      response.set_chunked_content_provider(
          "a/b",
          [](size_t, httplib::DataSink& sink) {
            const std::string drop(1 << 13, 'x');
            return sink.write(drop.data(), drop.size());
          },
          [this](bool) { flood_ended_ = true; });
    });
    server_.set_refusal_logger(
        [this](const std::string&, const HttpError& error) { last_refusal_ = error.status; });
    server_.set_tls(&tls);
    port_ = server_.Bind("127.0.0.1", 0).value();
    thread_ = std::thread([this] { server_.Run(); });
  }
  ~Server() {
    server_.Stop();
    thread_.join();
  }
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  static ConnectionLimits Patient() {
    return {.head = kForever, .body = kForever, .idle = kForever, .write = kForever};
  }

  int port() const { return port_; }
  int n_waiting() const { return n_waiting_; }
  int last_refusal() const { return last_refusal_; }
  bool flood_ended() const { return flood_ended_; }
  size_t n_connections() const { return server_.n_connections(); }

 private:
  GuardedServer server_;
  int port_ = 0;
  std::thread thread_;
  std::atomic<int> n_waiting_{0};
  std::atomic<int> last_refusal_{0};
  std::atomic<bool> flood_ended_{false};
};

/// A client that speaks TLS over a RawClient's socket and waits for every answer.
class TlsClient {
 public:
  explicit TlsClient(int port, int newest_version = TLS1_3_VERSION)
      : raw_(port), context_(SSL_CTX_new(TLS_client_method())), ssl_(SSL_new(context_)) {
    SSL_set_max_proto_version(ssl_, newest_version);
    SSL_set_fd(ssl_, raw_.descriptor());
    connected_ = SSL_connect(ssl_) == 1;
  }
  ~TlsClient() {
    SSL_free(ssl_);
    SSL_CTX_free(context_);
  }
  TlsClient(const TlsClient&) = delete;
  TlsClient& operator=(const TlsClient&) = delete;

  bool connected() const { return connected_; }
  const RawClient& raw() const { return raw_; }
  std::string version() const { return SSL_get_version(ssl_); }

  void Send(std::string_view bytes) {
    EXPECT_EQ(SSL_write(ssl_, bytes.data(), static_cast<int>(bytes.size())),
              static_cast<int>(bytes.size()));
  }

  /// Bytes that come up to `end`, or to the end of the connection where that is before.
  std::string ReadTo(std::string_view end) {
    std::string received;
    std::array<char, 4096> buffer;
    while (end.empty() || received.find(end) == std::string::npos) {
      const int n = SSL_read(ssl_, buffer.data(), buffer.size());
      if (n <= 0) break;
      received.append(buffer.data(), static_cast<size_t>(n));
    }
    return received;
  }
  std::string Ask(std::string_view request, std::string_view end) {
    Send(request);
    return ReadTo(end);
  }

  /// Whether the server said farewell.
  bool saw_farewell() const { return (SSL_get_shutdown(ssl_) & SSL_RECEIVED_SHUTDOWN) != 0; }
  void SayFarewell() { SSL_shutdown(ssl_); }

  /// The server's certificate, in DER.
  std::string PeerCertificate() const {
    X509* certificate = SSL_get1_peer_certificate(ssl_);
    unsigned char* der = nullptr;
    const int size = i2d_X509(certificate, &der);
    std::string bytes(reinterpret_cast<char*>(der), static_cast<size_t>(size));
    OPENSSL_free(der);
    X509_free(certificate);
    return bytes;
  }

 private:
  RawClient raw_;
  SSL_CTX* context_;
  SSL* ssl_;
  bool connected_ = false;
};

TEST(TlsServer, NamesTheFileThatIsNotGood) {
  const CertificateFiles good;
  const CertificateFiles other;
  const TempDir dir;
  const std::string garbage = dir.File("garbage.pem");
  WriteFile(garbage, "-----BEGIN CERTIFICATE-----\nxx\n-----END CERTIFICATE-----\n");
  const auto message_of = [](TlsFiles files) {
    return TlsServer::Create(std::move(files)).error().message;
  };
  EXPECT_THAT(message_of({dir.File("none.crt"), good.files().key}),
              AllOf(HasSubstr("cannot open"), HasSubstr("none.crt")));
  EXPECT_THAT(message_of({good.files().certificate, dir.File("none.key")}),
              AllOf(HasSubstr("cannot open"), HasSubstr("none.key")));
  EXPECT_THAT(message_of({garbage, good.files().key}),
              AllOf(HasSubstr("no certificate"), HasSubstr(garbage)));
  EXPECT_THAT(message_of({good.files().key, good.files().key}), HasSubstr("no certificate"));
  EXPECT_THAT(message_of({good.files().certificate, garbage}),
              AllOf(HasSubstr("no private key"), HasSubstr(garbage)));
  EXPECT_THAT(message_of({good.files().certificate, other.files().key}),
              AllOf(HasSubstr("key"), HasSubstr("mismatch")));
}

class Tls : public ::testing::Test {
 protected:
  CertificateFiles certificate_;
  std::unique_ptr<TlsServer> tls_ = TlsServer::Create(certificate_.files()).value();
};

TEST_F(Tls, ServesRequestAfterRequest) {
  const Server server(*tls_);
  for (const int version : {TLS1_2_VERSION, TLS1_3_VERSION}) {
    TlsClient client(server.port(), version);
    ASSERT_TRUE(client.connected());
    EXPECT_EQ(client.version(), version == TLS1_2_VERSION ? "TLSv1.2" : "TLSv1.3");
    for (int i = 0; i < 3; ++i) EXPECT_THAT(client.Ask(kHello, "hi"), EndsWith("\r\n\r\nhi"));
  }
}

TEST_F(Tls, RequestsThatComeTogetherAreAllAnswered) {
  const Server server(*tls_);
  TlsClient client(server.port());
  client.Send(std::string(kHello) + kHello + "GET /hello HTTP/1.1\r\nHost: h\r\n");
  EXPECT_THAT(client.ReadTo("hi"), StartsWith("HTTP/1.1 200 "));
  client.Send("Connection: close\r\n\r\n");
  EXPECT_THAT(client.ReadTo(""), EndsWith("\r\n\r\nhi"));
  EXPECT_TRUE(client.saw_farewell());
}

TEST_F(Tls, OldVersionsAreRefused) {
  const Server server(*tls_);
  EXPECT_FALSE(TlsClient(server.port(), TLS1_1_VERSION).connected());
}

TEST_F(Tls, HttpWithoutTlsIsToldSo) {
  const Server server(*tls_);
  const RawClient client(server.port());
  client.Send(kHello);
  EXPECT_THAT(client.ReadAll(), AllOf(StartsWith("HTTP/1.1 400 "), HasSubstr("https://")));
  EXPECT_EQ(server.last_refusal(), 400);
}

TEST_F(Tls, GarbageEndsTheConnection) {
  const Server server(*tls_);
  const RawClient client(server.port());
  client.Send(std::string(100, '\x16'));
  client.ReadAll();
  TlsClient next(server.port());
  EXPECT_THAT(next.Ask(kHello, "hi"), EndsWith("hi"));
}

TEST_F(Tls, AHandlerSeesItsClientLeave) {
  const Server server(*tls_);
  for (const bool says_farewell : {true, false}) {
    auto client = std::make_unique<TlsClient>(server.port());
    client->Send("GET /wait HTTP/1.1\r\nHost: h\r\n\r\n");
    Await("a waiting request", [&] { return server.n_waiting() == 1; });
    if (says_farewell) {
      client->SayFarewell();  // and the socket stays open
    } else {
      client.reset();
    }
    Await("its end", [&] { return server.n_waiting() == 0; });
  }
}

TEST_F(Tls, AHandlerIsNotDeceivedByWhatItsClientSends) {
  const Server server(*tls_);
  TlsClient client(server.port());
  client.Send(std::string("GET /wait HTTP/1.1\r\nHost: h\r\n\r\n") + kHello);
  Await("a waiting request", [&] { return server.n_waiting() == 1; });
  client.Send(kHello);
  std::this_thread::sleep_for(milliseconds(50));
  EXPECT_EQ(server.n_waiting(), 1);
}

TEST_F(Tls, AReaderThatStallsIsCutOff) {
  ConnectionLimits limits = Server::Patient();
  limits.write = milliseconds(100);
  const Server server(*tls_, limits);
  TlsClient client(server.port());
  client.Send("GET /flood HTTP/1.1\r\nHost: h\r\n\r\n");
  Await("the end of the flood", [&] { return server.flood_ended(); });
  client.ReadTo("");
}

TEST_F(Tls, AHandshakeThatStallsIsCutOff) {
  ConnectionLimits limits = Server::Patient();
  limits.idle = milliseconds(50);
  const Server server(*tls_, limits);
  const RawClient client(server.port());
  client.Send("\x16\x03\x01");
  EXPECT_THAT(client.ReadAll(), IsEmpty());
}

TEST_F(Tls, MoreConnectionsThanAllowedAreTurnedAway) {
  ConnectionLimits limits = Server::Patient();
  limits.max_connections = 1;
  const Server server(*tls_, limits);
  TlsClient first(server.port());
  first.Send("GET /wait HTTP/1.1\r\nHost: h\r\n\r\n");
  Await("a waiting request", [&] { return server.n_waiting() == 1; });
  TlsClient second(server.port());
  ASSERT_TRUE(second.connected());
  EXPECT_THAT(second.ReadTo(""), StartsWith("HTTP/1.1 503 "));
}

TEST_F(Tls, ANewCertificateIsForNewConnections) {
  const Server server(*tls_);
  TlsClient before(server.port());
  EXPECT_THAT(before.Ask(kHello, "hi"), EndsWith("hi"));
  certificate_.Renew();
  ASSERT_TRUE(tls_->Reload());
  EXPECT_THAT(before.Ask(kHello, "hi"), EndsWith("hi"));
  const TlsClient after(server.port());
  EXPECT_THAT(after.PeerCertificate(), Ne(before.PeerCertificate()));

  WriteFile(certificate_.files().key, "none");
  EXPECT_FALSE(tls_->Reload());
  const TlsClient later(server.port());
  EXPECT_EQ(later.PeerCertificate(), after.PeerCertificate());
}

}  // namespace
}  // namespace quern
