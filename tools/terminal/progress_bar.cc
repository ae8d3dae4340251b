#include "tools/terminal/progress_bar.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <string>

namespace quern {
namespace {

constexpr size_t kBarWidth = 30;
constexpr auto kRedrawInterval = std::chrono::milliseconds(100);

}  // namespace

ProgressBar::ProgressBar() : enabled_(isatty(STDERR_FILENO) == 1), start_(Clock::now()) {}

ProgressBar::~ProgressBar() {
  if (shown_) fmt::print(stderr, "\r\x1b[K");
}

void ProgressBar::Show(double fraction, std::string_view label) {
  const Clock::time_point now = Clock::now();
  if (!enabled_ || (shown_ && now - last_ < kRedrawInterval)) return;
  fraction = std::clamp(fraction, 0.0, 1.0);
  if (!shown_) first_ = fraction;
  last_ = now;
  shown_ = true;
  const auto filled = static_cast<size_t>(fraction * kBarWidth);
  std::string remaining;
  if (const double done = fraction - first_; done > 0.01) {
    const double seconds = std::chrono::duration<double>(now - start_).count();
    remaining = fmt::format("{:.0f} s left", seconds / done * (1 - fraction));
  }
  fmt::print(stderr, "\r{:3.0f}% [{:<{}}] {} {}\x1b[K", 100 * fraction, std::string(filled, '='),
             kBarWidth, remaining, label);
  std::fflush(stderr);
}

}  // namespace quern
