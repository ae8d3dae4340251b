// Reads lines from a file descriptor in a way that a signal can interrupt.
#pragma once

#include <string>

namespace quern {

class LineReader {
 public:
  enum class Outcome { kLine, kEnd, kInterrupted };

  explicit LineReader(int fd) : fd_(fd) {}

  /// The next line without its end; the last one may lack it. A line that ends in a backslash goes
  /// on in the next.
  Outcome Read(std::string& line);

 private:
  Outcome ReadPlain(std::string& line);

  int fd_;
  std::string buffer_;
};

}  // namespace quern
