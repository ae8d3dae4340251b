#include "server/access/key_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <string_view>
#include <utility>

#include "gguf/base/line_file.h"
#include "gguf/base/printable.h"

namespace quern {
namespace {

bool HasKey(const std::vector<ApiKey>& keys, std::string_view name) {
  return std::any_of(keys.begin(), keys.end(),
                     [&](const ApiKey& key) { return key.name() == name; });
}

Result<std::vector<ApiKey>> ReadKeys(const std::string& path) {
  std::vector<ApiKey> keys;
  const auto take = [&keys](std::string_view line, size_t number) -> Status {
    Result<ApiKey> key = WordsOf(line).size() == 1 ? ApiKey::Create(fmt::format("line-{}", number),
                                                                    line, {}, Signing::kOptional)
                                                   : ApiKey::Parse(line);
    if (!key) return Propagate(key);
    if (HasKey(keys, key->name())) {
      return Fail(ErrorCode::kInvalidArgument, "there is another key {}", Quoted(key->name()));
    }
    keys.push_back(*std::move(key));
    return {};
  };
  if (Status status = ReadLines(path, "API key file", take); !status) return Propagate(status);
  return keys;
}

}  // namespace

Result<std::vector<ApiKey>> ReadKeyFile(const std::string& path) {
  Result<std::vector<ApiKey>> keys = ReadKeys(path);
  if (keys && keys->empty()) {
    return Fail(ErrorCode::kInvalidArgument, "{} has no API key, expected one a line", path);
  }
  return keys;
}

Status AppendToKeyFile(const std::string& path, const ApiKey& key) {
  bool ends_line = true;
  if (std::ifstream file(path); file) {
    Result<std::vector<ApiKey>> keys = ReadKeys(path);
    if (!keys) return Propagate(keys);
    if (HasKey(*keys, key.name())) {
      return Fail(ErrorCode::kInvalidArgument, "{} has a key {} already", path, Quoted(key.name()));
    }
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
