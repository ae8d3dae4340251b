#include "server/http/tls.h"

#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <utility>

#include "gguf/base/printable.h"

namespace quern {
namespace {

/// What OpenSSL says of its failure.
std::string Reason() {
  const char* reason = ERR_reason_error_string(ERR_peek_error());
  ERR_clear_error();
  return reason != nullptr ? reason : "unknown error";
}

/// HTTP/1.1, to a client that asks for a protocol at all.
int ChooseProtocol(SSL* /*ssl*/, const unsigned char** chosen, unsigned char* chosen_size,
                   const unsigned char* offered, unsigned int offered_size, void* /*unused*/) {
  static constexpr std::array<unsigned char, 9> kHttp = {8, 'h', 't', 't', 'p', '/', '1', '.', '1'};
  // It is written through a pointer to what is not const, for clients' sake.
  unsigned char* found = nullptr;
  if (SSL_select_next_proto(&found, chosen_size, kHttp.data(), kHttp.size(), offered,
                            offered_size) != OPENSSL_NPN_NEGOTIATED) {
    return SSL_TLSEXT_ERR_ALERT_FATAL;
  }
  *chosen = found;
  return SSL_TLSEXT_ERR_OK;
}

Status CheckReadable(const std::string& path) {
  if (std::ifstream(path).good()) return {};
  return Fail(ErrorCode::kNotFound, "cannot open {}: {}", Quoted(path), std::strerror(errno));
}

Result<std::shared_ptr<SSL_CTX>> NewContext(const TlsFiles& files) {
  for (const std::string& path : {files.certificate, files.key}) {
    if (Status status = CheckReadable(path); !status) return Propagate(status);
  }
  ERR_clear_error();
  std::shared_ptr<SSL_CTX> context(SSL_CTX_new(TLS_server_method()), SSL_CTX_free);
  if (context == nullptr) return Fail(ErrorCode::kIo, "cannot set up TLS: {}", Reason());
  SSL_CTX_set_min_proto_version(context.get(), TLS1_2_VERSION);
  SSL_CTX_set_options(context.get(), SSL_OP_NO_RENEGOTIATION | SSL_OP_CIPHER_SERVER_PREFERENCE |
                                         SSL_OP_IGNORE_UNEXPECTED_EOF);
  SSL_CTX_set_mode(context.get(), SSL_MODE_ENABLE_PARTIAL_WRITE |
                                      SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                                      SSL_MODE_RELEASE_BUFFERS);
  SSL_CTX_set_alpn_select_cb(context.get(), ChooseProtocol, nullptr);
  // A key with a passphrase would else be asked for at the terminal.
  SSL_CTX_set_default_passwd_cb(context.get(), [](char*, int, int, void*) { return -1; });
  if (SSL_CTX_use_certificate_chain_file(context.get(), files.certificate.c_str()) != 1) {
    return Fail(ErrorCode::kInvalidArgument, "{} holds no certificate in PEM format ({})",
                Quoted(files.certificate), Reason());
  }
  if (SSL_CTX_use_PrivateKey_file(context.get(), files.key.c_str(), SSL_FILETYPE_PEM) != 1) {
    return Fail(ErrorCode::kInvalidArgument,
                "{} holds no private key in PEM format without a passphrase that is the "
                "certificate's of {} ({})",
                Quoted(files.key), Quoted(files.certificate), Reason());
  }
  return context;
}

class Tls final : public Transport {
 public:
  Tls(int socket, std::shared_ptr<SSL_CTX> context, SSL* ssl)
      : socket_(socket), context_(std::move(context)), ssl_(ssl) {}
  ~Tls() override {
    if (!ended_) SSL_shutdown(ssl_);  // a farewell, if the socket takes it at once
    SSL_free(ssl_);
  }
  Tls(const Tls&) = delete;
  Tls& operator=(const Tls&) = delete;

  Moved Receive(std::span<char> into) override {
    if (plain_ != nullptr) return plain_->Receive(into);
    if (ended_) return {State::kEnded};
    ERR_clear_error();
    size_t n = 0;
    const int done = SSL_read_ex(ssl_, into.data(), into.size(), &n);
    return After(done, n);
  }

  Moved Send(std::string_view bytes) override {
    if (plain_ != nullptr) return plain_->Send(bytes);
    if (ended_) return {State::kEnded};
    ERR_clear_error();
    size_t n = 0;
    const int done = SSL_write_ex(ssl_, bytes.data(), bytes.size(), &n);
    return After(done, n);
  }

  bool HasPending() const override { return plain_ == nullptr && SSL_pending(ssl_) > 0; }

  void EndSending() override {
    if (!ended_) SSL_shutdown(ssl_);
    shutdown(socket_, SHUT_WR);
  }

  /// The client's farewell is a record: to one who looks at the socket alone it is more to read.
  void ShowEnd() override {
    if (!ended_) {
      ERR_clear_error();
      char next = 0;
      size_t n = 0;
      const int done = SSL_peek_ex(ssl_, &next, 1, &n);
      After(done, n);
    }
    if (ended_) shutdown(socket_, SHUT_RD);
  }

  bool MissesTls() const override { return plain_ != nullptr; }

 private:
  Moved After(int done, size_t n) {
    if (done == 1) return {State::kMoved, n};
    switch (SSL_get_error(ssl_, done)) {
      case SSL_ERROR_WANT_READ:
        return {State::kWantRead};
      case SSL_ERROR_WANT_WRITE:
        return {State::kWantWrite};
      default:
        break;
    }
    ended_ = true;
    if (ERR_GET_REASON(ERR_peek_last_error()) == SSL_R_HTTP_REQUEST) {
      plain_ = PlainTransport(socket_);
    }
    return {State::kEnded};
  }

  int socket_;
  std::shared_ptr<SSL_CTX> context_;
  SSL* ssl_;
  bool ended_ = false;
  std::unique_ptr<Transport> plain_;
};

}  // namespace

Result<std::unique_ptr<TlsServer>> TlsServer::Create(TlsFiles files) {
  std::unique_ptr<TlsServer> server(new TlsServer(std::move(files)));
  if (Status status = server->Reload(); !status) return Propagate(status);
  return server;
}

Status TlsServer::Reload() {
  Result<std::shared_ptr<SSL_CTX>> context = NewContext(files_);
  if (!context) return Propagate(context);
  const std::lock_guard lock(mutex_);
  context_ = *std::move(context);
  return {};
}

std::unique_ptr<Transport> TlsServer::Accept(int socket) const {
  std::shared_ptr<SSL_CTX> context;
  {
    const std::lock_guard lock(mutex_);
    context = context_;
  }
  SSL* ssl = SSL_new(context.get());
  if (ssl == nullptr) return nullptr;
  auto transport = std::make_unique<Tls>(socket, std::move(context), ssl);
  fcntl(socket, F_SETFL, fcntl(socket, F_GETFL) | O_NONBLOCK);
  if (SSL_set_fd(ssl, socket) != 1) return nullptr;
  SSL_set_accept_state(ssl);
  return transport;
}

}  // namespace quern
