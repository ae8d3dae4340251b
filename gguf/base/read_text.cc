#include "gguf/base/read_text.h"

#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <memory>

namespace quern {

Result<std::string> ReadText(const std::string& path) {
  const bool is_stdin = path == "-";
  std::FILE* file = is_stdin ? stdin : std::fopen(path.c_str(), "rb");
  if (file == nullptr) {
    return Fail(errno == ENOENT ? ErrorCode::kNotFound : ErrorCode::kIo, "{}: {}", path,
                std::strerror(errno));
  }
  const auto close = [is_stdin](std::FILE* f) {
    if (!is_stdin) std::fclose(f);
  };
  const std::unique_ptr<std::FILE, decltype(close)> closer(file, close);
  std::string text;
  std::array<char, 1 << 16> buffer;
  while (const size_t n = std::fread(buffer.data(), 1, buffer.size(), file)) {
    text.append(buffer.data(), n);
  }
  if (std::ferror(file) != 0) {
    return Fail(ErrorCode::kIo, "{}: {}", is_stdin ? "stdin" : path, std::strerror(errno));
  }
  return text;
}

}  // namespace quern
