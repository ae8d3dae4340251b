#include "tools/options/transfer_progress.h"

#include <fmt/format.h>

#include <cstdio>

#include "gguf/base/format_number.h"
#include "gguf/base/printable.h"

namespace quern {

PullReporter TransferProgress::Reporter() {
  return {.say = [this](const std::string& line) { Say(line); },
          .progress = [this](std::string_view what, uint64_t n_done,
                             uint64_t n_bytes) { Show(what, n_done, n_bytes); }};
}

void TransferProgress::Say(const std::string& line) {
  bar_.reset();  // which leaves its line empty; the next Show draws it again
  fmt::print(stderr, "{}: {}\n", name_, Printable(line, line.size()));
}

void TransferProgress::Show(std::string_view what, uint64_t n_done, uint64_t n_bytes) {
  const Clock::time_point now = Clock::now();
  if (what != what_) {
    what_ = what;
    bar_.reset();
    start_ = now;
    first_done_ = n_done;
    last_line_ = now;
  }
  if (!bar_) bar_.emplace();
  const double fraction = static_cast<double>(n_done) / static_cast<double>(n_bytes);
  const auto text = [&] {
    return fmt::format("{} {} of {}{}", what_, FormatBytes(n_done), FormatBytes(n_bytes),
                       RateAt(now, n_done));
  };
  if (bar_->enabled()) {
    bar_->Show(fraction, text());
  } else if (now - last_line_ >= between_lines_) {
    last_line_ = now;
    fmt::print(stderr, "{}: {} ({:.0f}%)\n", name_, text(), 100 * fraction);
  }
}

std::string TransferProgress::RateAt(Clock::time_point now, uint64_t n_done) {
  const double seconds = std::chrono::duration<double>(now - start_).count();
  if (seconds < 1 || n_done < first_done_) return {};
  return fmt::format(
      ", {}/s",
      FormatBytes(static_cast<uint64_t>(static_cast<double>(n_done - first_done_) / seconds)));
}

}  // namespace quern
