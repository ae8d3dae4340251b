// What a few measurements of the same thing say together.
#pragma once

#include <vector>

namespace quern {

/// Of at least one value.
double MedianOf(std::vector<double> values);

/// How far from their median half of the values lie at most.
double MedianDeviation(const std::vector<double>& values);

}  // namespace quern
