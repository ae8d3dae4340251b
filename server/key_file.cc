#include "server/key_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <utility>

#include "gguf/printable.h"

namespace quern {
namespace {

constexpr const char* kBlanks = " \t\r";

Result<std::vector<ApiKey>> ReadKeys(std::ifstream& file, const std::string& path) {
  std::vector<ApiKey> keys;
  std::string line;
  for (size_t number = 1; std::getline(file, line); ++number) {
    const size_t begin = line.find_first_not_of(kBlanks);
    if (begin == std::string::npos || line[begin] == '#') continue;
    const std::string text = line.substr(begin, line.find_last_not_of(kBlanks) - begin + 1);
    const bool is_plain = text.find_first_of(kBlanks) == std::string::npos;
    Result<ApiKey> key =
        is_plain ? ApiKey::Create(fmt::format("line-{}", number), text, {}, Signing::kOptional)
                 : ApiKey::Parse(text);
    if (!key) {
      return Fail(key.error().code, "{}, line {}: {}", path, number, key.error().message);
    }
    const bool taken = std::any_of(
        keys.begin(), keys.end(), [&](const ApiKey& other) { return other.name() == key->name(); });
    if (taken) {
      return Fail(ErrorCode::kInvalidArgument, "{}, line {}: there is another key {}", path, number,
                  Quoted(key->name()));
    }
    keys.push_back(*std::move(key));
  }
  if (file.bad() || !file.eof()) {
    return Fail(ErrorCode::kIo, "cannot read the API key file {}: {}", Quoted(path),
                std::strerror(errno));
  }
  return keys;
}

}  // namespace

Result<std::vector<ApiKey>> ReadKeyFile(const std::string& path) {
  std::ifstream file(path);
  if (!file) {
    return Fail(ErrorCode::kNotFound, "cannot open the API key file {}: {}", Quoted(path),
                std::strerror(errno));
  }
  Result<std::vector<ApiKey>> keys = ReadKeys(file, path);
  if (keys && keys->empty()) {
    return Fail(ErrorCode::kInvalidArgument, "{} has no API key, expected one a line", path);
  }
  return keys;
}

Status AppendToKeyFile(const std::string& path, const ApiKey& key) {
  bool ends_line = true;
  if (std::ifstream file(path); file) {
    Result<std::vector<ApiKey>> keys = ReadKeys(file, path);
    if (!keys) return Propagate(keys);
    const bool taken = std::any_of(keys->begin(), keys->end(),
                                   [&](const ApiKey& other) { return other.name() == key.name(); });
    if (taken) {
      return Fail(ErrorCode::kInvalidArgument, "{} has a key {} already", path, Quoted(key.name()));
    }
    file.clear();
    file.seekg(-1, std::ios::end);
    ends_line = file.get() == '\n' || !file;
  }
  const int fd = open(path.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
  const std::string line = fmt::format("{}{}\n", ends_line ? "" : "\n", key.Line());
  const bool written =
      fd >= 0 && write(fd, line.data(), line.size()) == static_cast<ssize_t>(line.size());
  const int error = errno;
  if (fd >= 0 && close(fd) == 0 && written) return {};
  return Fail(ErrorCode::kIo, "cannot write {}: {}", Quoted(path), std::strerror(error));
}

}  // namespace quern
