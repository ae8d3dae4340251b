// Where the time of forward passes went: a table of operations, and a file for trace viewers.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "gguf/base/result.h"
#include "runtime/forward/step_trace.h"

namespace quern {

/// What one thread spent on an operation.
struct OpTime {
  StepOp op;
  double seconds = 0;
  size_t count = 0;
};

/// Of the thread that calls Forward, whose times add up to the whole; the longest first.
std::vector<OpTime> ProfileOf(const StepTrace& trace);

/// A table for people, with times for each of `n_steps` steps.
std::string ProfileText(const std::vector<OpTime>& profile, size_t n_steps);

/// Writes a file in Chrome's trace event format, each trace with its name a process of its own,
/// one after the other. Errors: those of OutputFile.
Status WriteChromeTrace(const std::vector<std::pair<std::string, StepTrace>>& traces,
                        const std::string& path);

}  // namespace quern
