// Which of several settings is best, as far as noisy measurements can tell.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

namespace quern {

/// What the same work took with one setting, a number of threads or tokens: a time for each round.
/// All settings are measured in every round.
struct TuneSeries {
  size_t setting;
  std::vector<double> seconds;
};

/// How much longer one setting takes than another, as a share of the other's time. Times of the
/// same round are compared, so that a machine that gets slower as a whole changes nothing.
struct TuneExcess {
  double share;  ///< median of the rounds; below 0: it is faster
  double error;  ///< standard error of that median, from how far the rounds lie apart
};

TuneExcess ExcessOver(const TuneSeries& series, const TuneSeries& other);

/// Less than this share of the time is no reason to choose a setting.
inline constexpr double kTuneTolerance = 0.03;
/// Nor is less than the error, but for this: a setting that seems slower by more is not chosen.
inline constexpr double kMostTuneTolerance = 0.05;

struct TuneChoice {
  size_t chosen = 0;   ///< index of the smallest setting that is as good as the fastest
  size_t fastest = 0;  ///< index of that with the least median time
};

/// Of at least one series.
TuneChoice ChooseSetting(std::span<const TuneSeries> all);

}  // namespace quern
