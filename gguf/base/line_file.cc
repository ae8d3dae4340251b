#include "gguf/base/line_file.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>

#include "gguf/base/printable.h"

namespace quern {
namespace {

constexpr std::string_view kBlanks = " \t\r";

std::string_view Trimmed(std::string_view text) {
  const size_t begin = std::min(text.find_first_not_of(kBlanks), text.size());
  return text.substr(begin, text.find_last_not_of(kBlanks) + 1 - begin);
}

}  // namespace

std::vector<std::string_view> WordsOf(std::string_view line) {
  std::vector<std::string_view> words;
  for (size_t begin = line.find_first_not_of(kBlanks); begin != std::string_view::npos;) {
    const size_t end = std::min(line.find_first_of(kBlanks, begin), line.size());
    words.push_back(line.substr(begin, end - begin));
    begin = line.find_first_not_of(kBlanks, end);
  }
  return words;
}

Status ReadLines(const std::string& path, std::string_view what, const TakeLine& take) {
  std::ifstream file(path);
  if (!file) {
    return Fail(ErrorCode::kNotFound, "cannot open the {} {}: {}", what, Quoted(path),
                std::strerror(errno));
  }
  std::string line;
  for (size_t number = 1; std::getline(file, line); ++number) {
    const std::string_view text = Trimmed(line);
    if (text.empty() || text.front() == '#') continue;
    if (Status status = take(text, number); !status) {
      return Fail(status.error().code, "{}, line {}: {}", path, number, status.error().message);
    }
  }
  if (file.bad() || !file.eof()) {
    return Fail(ErrorCode::kIo, "cannot read the {} {}: {}", what, Quoted(path),
                std::strerror(errno));
  }
  return {};
}

}  // namespace quern
