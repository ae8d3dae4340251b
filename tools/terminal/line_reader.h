// Reads what a person writes, line by line: with editing and history on a terminal, as it comes
// from anything else.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "tools/terminal/interrupt.h"

namespace quern {

class LineReader {
 public:
  enum class Outcome { kLine, kEnd, kInterrupted };

  /// Plain lines of stdin.
  LineReader();
  /// Lines edited at the terminal behind stdin and stdout, after a prompt in bold green if
  /// `colours`. `interrupt` makes Ctrl-C give up a line.
  LineReader(InterruptCatcher* interrupt, bool colours);
  LineReader(LineReader&&) noexcept;
  ~LineReader();

  /// The next line without its end; the last one may lack it. A line that ends in a backslash goes
  /// on in the next.
  Outcome Read(std::string& line);

 private:
  class Editor;

  Outcome ReadPart(std::string& part, bool is_first);

  std::unique_ptr<Editor> editor_;  ///< null for plain lines
};

}  // namespace quern
