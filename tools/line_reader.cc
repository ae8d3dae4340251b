#include "tools/line_reader.h"

#include <unistd.h>

#include <array>
#include <cerrno>
#include <utility>

namespace quern {

LineReader::Outcome LineReader::Read(std::string& line) {
  line.clear();
  std::string part;
  Outcome outcome = ReadPlain(part);
  while (outcome == Outcome::kLine && part.ends_with('\\')) {
    part.back() = '\n';
    line += part;
    outcome = ReadPlain(part);
  }
  line += part;
  return outcome == Outcome::kEnd && !line.empty() ? Outcome::kLine : outcome;
}

LineReader::Outcome LineReader::ReadPlain(std::string& line) {
  line.clear();
  size_t searched = 0;
  for (;;) {
    const size_t end = buffer_.find('\n', searched);
    if (end != std::string::npos) {
      line = buffer_.substr(0, end);
      buffer_.erase(0, end + 1);
      if (line.ends_with('\r')) line.pop_back();
      return Outcome::kLine;
    }
    searched = buffer_.size();
    std::array<char, 4096> chunk;
    const ssize_t n = read(fd_, chunk.data(), chunk.size());
    if (n > 0) {
      buffer_.append(chunk.data(), static_cast<size_t>(n));
    } else if (n < 0 && errno == EINTR) {
      buffer_.clear();  // the terminal has dropped the unfinished line too
      return Outcome::kInterrupted;
    } else {
      line = std::exchange(buffer_, {});
      return line.empty() ? Outcome::kEnd : Outcome::kLine;
    }
  }
}

}  // namespace quern
