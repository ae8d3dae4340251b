#include "tools/measure/tune_choice.h"

#include <algorithm>
#include <cmath>

#include "tools/measure/statistics.h"

namespace quern {
namespace {

/// Of normally distributed values, the standard error of the median is this many times their median
/// deviation, divided by the root of their number: sqrt(pi / 2) / 0.6745.
constexpr double kErrorOfDeviation = 1.858;

}  // namespace

TuneExcess ExcessOver(const TuneSeries& series, const TuneSeries& other) {
  std::vector<double> shares;
  for (size_t i = 0; i < series.seconds.size(); ++i) {
    shares.push_back(series.seconds[i] / other.seconds[i] - 1);
  }
  const double error = kErrorOfDeviation * MedianDeviation(shares);
  return {MedianOf(shares), error / std::sqrt(static_cast<double>(shares.size()))};
}

TuneChoice ChooseSetting(std::span<const TuneSeries> all) {
  TuneChoice choice;
  for (size_t i = 1; i < all.size(); ++i) {
    if (MedianOf(all[i].seconds) < MedianOf(all[choice.fastest].seconds)) choice.fastest = i;
  }
  choice.chosen = choice.fastest;
  for (size_t i = 0; i < all.size(); ++i) {
    const TuneExcess excess = ExcessOver(all[i], all[choice.fastest]);
    const bool as_good =
        excess.share <= std::clamp(excess.error, kTuneTolerance, kMostTuneTolerance);
    if (as_good && all[i].setting < all[choice.chosen].setting) choice.chosen = i;
  }
  return choice;
}

}  // namespace quern
