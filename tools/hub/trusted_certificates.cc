#include "tools/hub/trusted_certificates.h"

#include <openssl/err.h>
#include <openssl/x509_vfy.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <memory>
#include <sstream>
#include <system_error>

#include "gguf/base/printable.h"

namespace quern {
namespace {

std::string Variable(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

bool HoldsCertificate(const std::string& path) {
  const std::unique_ptr<X509_STORE, void (*)(X509_STORE*)> store(X509_STORE_new(), X509_STORE_free);
  const bool holds = store != nullptr && X509_STORE_load_file(store.get(), path.c_str()) == 1;
  ERR_clear_error();
  return holds;
}

Status CheckFile(const std::string& path) {
  errno = 0;
  if (!std::ifstream(path).good()) {
    return Fail(ErrorCode::kNotFound, "SSL_CERT_FILE: cannot open {}: {}", Quoted(path, 200),
                std::strerror(errno));
  }
  if (HoldsCertificate(path)) return {};
  return Fail(ErrorCode::kInvalidArgument, "SSL_CERT_FILE: {} holds no certificate in PEM format",
              Quoted(path, 200));
}

/// One that is there will do, as it does for OpenSSL.
Status CheckFolders(const std::string& paths) {
  std::istringstream list(paths);
  std::error_code ignored;
  for (std::string path; std::getline(list, path, ':');) {
    if (std::filesystem::is_directory(path, ignored)) return {};
  }
  return Fail(ErrorCode::kNotFound, "SSL_CERT_DIR: {} is no folder", Quoted(paths, 200));
}

}  // namespace

Result<TrustedCertificates> TrustedCertificates::OfEnvironment() {
  TrustedCertificates trusted{.file = Variable("SSL_CERT_FILE"),
                              .folder = Variable("SSL_CERT_DIR")};
  Status status;
  if (!trusted.file.empty()) status = CheckFile(trusted.file);
  if (status && !trusted.folder.empty()) status = CheckFolders(trusted.folder);
  if (!status) return Propagate(status);
  return trusted;
}

}  // namespace quern
