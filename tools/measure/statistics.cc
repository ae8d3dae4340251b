#include "tools/measure/statistics.h"

#include <algorithm>
#include <cmath>
#include <utility>

namespace quern {

double MedianOf(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const size_t middle = values.size() / 2;
  return values.size() % 2 == 1 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
}

double MedianDeviation(const std::vector<double>& values) {
  const double median = MedianOf(values);
  std::vector<double> distances;
  distances.reserve(values.size());
  for (const double value : values) distances.push_back(std::abs(value - median));
  return MedianOf(std::move(distances));
}

}  // namespace quern
