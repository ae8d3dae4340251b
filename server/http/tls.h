// TLS for the server: a certificate that can be read again while connections run.
#pragma once

#include <memory>
#include <mutex>
#include <string>

#include "gguf/base/result.h"
#include "server/http/transport.h"

struct ssl_ctx_st;

namespace quern {

struct TlsFiles {
  std::string certificate;  ///< PEM: the server's own first, then those that vouch for it
  std::string key;          ///< PEM, without a passphrase
};

/// TLS 1.2 and 1.3. Thread-safe.
class TlsServer {
 public:
  /// Errors: kNotFound, kIo; kInvalidArgument naming a file that holds no certificate or key, and
  /// for a key that is not the certificate's.
  static Result<std::unique_ptr<TlsServer>> Create(TlsFiles files);

  /// Reads the files again, for the connections to come. Errors: as Create; then all stays as it
  /// was.
  Status Reload();

  /// The server's end of a new connection. The socket stays the caller's and is made non-blocking.
  /// Null when there is no memory for it.
  std::unique_ptr<Transport> Accept(int socket) const;

 private:
  explicit TlsServer(TlsFiles files) : files_(std::move(files)) {}

  TlsFiles files_;
  mutable std::mutex mutex_;
  std::shared_ptr<ssl_ctx_st> context_;  ///< under mutex_; a connection keeps the one it began with
};

}  // namespace quern
