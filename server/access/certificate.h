// Self-signed certificates for TLS.
#pragma once

#include <string>
#include <vector>

#include "gguf/base/result.h"

namespace quern {

struct Certificate {
  std::string pem;
  std::string key_pem;      ///< its private key, on the curve P-256
  std::string fingerprint;  ///< SHA-256, in upper-case hex with colons between bytes
};

/// A certificate for servers that is good from now on for so many days. `names`: host names, which
/// may begin with `*.`, and IP addresses; one at least. Errors: kInvalidArgument for a name that is
/// neither; kIo when OpenSSL fails.
Result<Certificate> MakeCertificate(const std::vector<std::string>& names, int days);

}  // namespace quern
