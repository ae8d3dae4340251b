// One line on a terminal that shows how far a long task has come and how long it will take.
#pragma once

#include <chrono>
#include <string_view>

namespace quern {

/// On a terminal the line is redrawn in place, at most ten times a second; elsewhere nothing is
/// printed.
class ProgressBar {
 public:
  ProgressBar();
  ~ProgressBar();
  ProgressBar(const ProgressBar&) = delete;
  ProgressBar& operator=(const ProgressBar&) = delete;

  bool enabled() const { return enabled_; }

  /// `fraction` from 0 to 1; `label` says what is being worked on. The time left is that of what
  /// came since the first call.
  void Show(double fraction, std::string_view label);

 private:
  using Clock = std::chrono::steady_clock;

  bool enabled_;
  bool shown_ = false;
  Clock::time_point start_;
  double first_ = 0;  ///< fraction of the first call
  Clock::time_point last_;
};

}  // namespace quern
