// Whose word is taken for who a hub is: the certificates that other programs' variables name too.
#pragma once

#include <string>

#include "gguf/base/result.h"

namespace quern {

struct TrustedCertificates {
  std::string file;    ///< PEM; empty: the system's
  std::string folder;  ///< or several with ':' between; empty: the system's

  /// What SSL_CERT_FILE and SSL_CERT_DIR say. Errors that name the variable: kNotFound,
  /// kInvalidArgument for a file without a certificate.
  static Result<TrustedCertificates> OfEnvironment();
};

}  // namespace quern
