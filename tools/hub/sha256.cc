#include "tools/hub/sha256.h"

#include <fcntl.h>
#include <openssl/evp.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <memory>
#include <vector>

#include "gguf/base/digest.h"
#include "gguf/base/printable.h"

namespace quern {
namespace {

constexpr size_t kBufferBytes = 4 << 20;

tl::unexpected<Error> SystemError(const std::string& path) {
  return Fail(errno == ENOENT ? ErrorCode::kNotFound : ErrorCode::kIo, "{}: cannot read: {}",
              Printable(path, path.size()), std::strerror(errno));
}

}  // namespace

Result<std::string> Sha256OfFile(const std::string& path,
                                 const std::function<void(uint64_t)>& progress) {
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return SystemError(path);
  const auto close_fd = [](const int* open_fd) { close(*open_fd); };
  const std::unique_ptr<const int, decltype(close_fd)> closer(&fd, close_fd);
  const std::unique_ptr<EVP_MD_CTX, void (*)(EVP_MD_CTX*)> hash(EVP_MD_CTX_new(), EVP_MD_CTX_free);
  bool ok = hash != nullptr && EVP_DigestInit_ex(hash.get(), EVP_sha256(), nullptr) == 1;
  std::vector<std::byte> buffer(kBufferBytes);
  uint64_t n_read = 0;
  while (ok) {
    const ssize_t n = read(fd, buffer.data(), buffer.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return SystemError(path);
    if (n == 0) break;
    ok = EVP_DigestUpdate(hash.get(), buffer.data(), static_cast<size_t>(n)) == 1;
    n_read += static_cast<uint64_t>(n);
    if (progress) progress(n_read);
  }
  Sha256Digest digest{};
  ok = ok && EVP_DigestFinal_ex(hash.get(), digest.data(), nullptr) == 1;
  if (!ok) {
    return Fail(ErrorCode::kIo, "{}: OpenSSL cannot compute its SHA-256",
                Printable(path, path.size()));
  }
  return Hex(digest);
}

}  // namespace quern
