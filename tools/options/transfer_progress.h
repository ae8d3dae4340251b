// How a download goes, on stderr: a bar with bytes, rate and time left on a terminal, elsewhere a
// line now and then.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "tools/hub/pull_model.h"
#include "tools/terminal/progress_bar.h"

namespace quern {

class TransferProgress {
 public:
  /// `name` begins every line; of those that tell how it goes, `between_lines` apart.
  explicit TransferProgress(std::string name,
                            std::chrono::seconds between_lines = std::chrono::seconds(10))
      : name_(std::move(name)), between_lines_(between_lines) {}

  /// Reports here; the object must outlive it.
  PullReporter Reporter();

 private:
  using Clock = std::chrono::steady_clock;

  void Say(const std::string& line);
  void Show(std::string_view what, uint64_t n_done, uint64_t n_bytes);
  std::string RateAt(Clock::time_point now, uint64_t n_done);

  std::string name_;
  std::chrono::seconds between_lines_;
  std::string what_;
  std::optional<ProgressBar> bar_;
  Clock::time_point last_line_;
  // The rate is of the bytes since the first that was shown: what an earlier process left took
  // this one no time.
  Clock::time_point start_;
  uint64_t first_done_ = 0;
};

}  // namespace quern
