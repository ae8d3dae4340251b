// `quern cert`: a self-signed certificate for `quern serve`.
#include <fcntl.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "gguf/base/printable.h"
#include "server/access/access_control.h"
#include "server/access/certificate.h"
#include "tools/cli/commands.h"

namespace quern {
namespace {

constexpr int kMaxDays = 36500;

struct CertOptions {
  std::vector<std::string> names = {"localhost", "127.0.0.1", "::1"};
  std::string certificate_file = "quern.crt";
  std::string key_file = "quern.key";
  int days = 825;  // Apple's systems trust no certificate for longer
  bool force = false;
};

Status WriteNewFile(const std::string& path, const std::string& text, mode_t mode, bool force) {
  if (force && unlink(path.c_str()) != 0 && errno != ENOENT) {
    return Fail(ErrorCode::kIo, "cannot replace {}: {}", Quoted(path), std::strerror(errno));
  }
  const int fd = open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
  if (fd < 0 && errno == EEXIST) {
    return Fail(ErrorCode::kInvalidArgument, "{} is there already; --force replaces it",
                Quoted(path));
  }
  const bool written =
      fd >= 0 && write(fd, text.data(), text.size()) == static_cast<ssize_t>(text.size());
  const int error = errno;
  if (fd >= 0 && close(fd) == 0 && written) return {};
  return Fail(ErrorCode::kIo, "cannot write {}: {}", Quoted(path), std::strerror(error));
}

Result<int> MakeCert(const CertOptions& options) {
  if (!options.force && access(options.certificate_file.c_str(), F_OK) == 0) {
    return Fail(ErrorCode::kInvalidArgument, "{} is there already; --force replaces it",
                Quoted(options.certificate_file));
  }
  Result<Certificate> made = MakeCertificate(options.names, options.days);
  if (!made) return Propagate(made);
  Status key = WriteNewFile(options.key_file, made->key_pem, 0600, options.force);
  if (!key) return Propagate(key);
  Status certificate = WriteNewFile(options.certificate_file, made->pem, 0644, options.force);
  if (!certificate) {
    unlink(options.key_file.c_str());  // no use without it, and in the way of the next try
    return Propagate(certificate);
  }
  fmt::print("certificate  {}, for {}, good for {} days\n", options.certificate_file,
             fmt::join(options.names, ", "), options.days);
  fmt::print("private key  {}\n", options.key_file);
  fmt::print("SHA-256      {}\n\n", made->fingerprint);
  // Other names are for other machines, which a server lets in with keys.
  const bool is_loopback = IsLoopback(options.names.front());
  fmt::print("Try: {}quern serve {}--ssl-cert-file {} --ssl-key-file {}\n",
             is_loopback ? "" : "quern key new me\n     ",
             is_loopback ? "" : "--host 0.0.0.0 --api-key-file quern.keys ",
             options.certificate_file, options.key_file);
  fmt::print("     curl --cacert {} https://{}:8080/health\n", options.certificate_file,
             options.names.front());
  return 0;
}

}  // namespace

void AddCertCommand(Commands& commands) {
  auto options = std::make_shared<CertOptions>();
  CLI::App* command = commands.Add("cert", "Make a self-signed certificate for `quern serve`",
                                   [options] { return MakeCert(*options); });
  command->add_option("NAMES", options->names,
                      "Host names and IP addresses that clients will use (default: localhost, "
                      "127.0.0.1 and ::1)");
  command->add_option("--cert-file", options->certificate_file, "Where the certificate goes")
      ->type_name("FILE")
      ->capture_default_str();
  command->add_option("--key-file", options->key_file, "Where its private key goes")
      ->type_name("FILE")
      ->capture_default_str();
  command->add_option("--days", options->days, "Days that it is good for")
      ->check(CLI::Range(1, kMaxDays))
      ->capture_default_str();
  command->add_flag("--force", options->force, "Replace files that are there");
}

}  // namespace quern
