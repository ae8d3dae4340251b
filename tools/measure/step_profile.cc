#include "tools/measure/step_profile.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <iterator>
#include <nlohmann/json.hpp>

#include "gguf/base/write_text.h"
#include "tools/terminal/text_table.h"

namespace quern {
namespace {

using Span = StepTrace::Span;

double Seconds(const Span& span) {
  return std::chrono::duration<double>(span.end - span.begin).count();
}

int64_t Nanoseconds(StepTrace::Clock::duration duration) {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(duration).count();
}

}  // namespace

std::vector<OpTime> ProfileOf(const StepTrace& trace) {
  std::array<OpTime, kStepOps> times{};
  for (size_t i = 0; i < kStepOps; ++i) times[i].op = static_cast<StepOp>(i);
  for (const Span& span : trace.spans(0)) {
    OpTime& time = times[static_cast<size_t>(span.op)];
    time.seconds += Seconds(span);
    ++time.count;
  }
  std::vector<OpTime> profile;
  std::copy_if(times.begin(), times.end(), std::back_inserter(profile),
               [](const OpTime& time) { return time.count > 0; });
  std::sort(profile.begin(), profile.end(),
            [](const OpTime& a, const OpTime& b) { return a.seconds > b.seconds; });
  return profile;
}

std::string ProfileText(const std::vector<OpTime>& profile, size_t n_steps) {
  double total = 0;
  for (const OpTime& time : profile) total += time.seconds;
  const auto steps = static_cast<double>(n_steps);
  using enum TextTable::Align;
  TextTable table({kLeft, kRight, kRight, kRight, kRight});
  table.AddRow({"operation", "ms a step", "share", "times a step", "us each"});
  for (const OpTime& time : profile) {
    const auto count = static_cast<double>(time.count);
    table.AddRow({std::string(NameOf(time.op)), fmt::format("{:.3f}", 1e3 * time.seconds / steps),
                  fmt::format("{:.1f}%", 100 * time.seconds / total),
                  fmt::format("{:.0f}", count / steps),
                  fmt::format("{:.1f}", 1e6 * time.seconds / count)});
  }
  return table.Format();
}

Status WriteChromeTrace(const std::vector<std::pair<std::string, StepTrace>>& traces,
                        const std::string& path) {
  nlohmann::json events = nlohmann::json::array();
  int process = 0;
  for (const auto& [name, trace] : traces) {
    events.push_back(
        {{"ph", "M"}, {"pid", ++process}, {"name", "process_name"}, {"args", {{"name", name}}}});
    if (trace.spans(0).empty()) continue;
    const StepTrace::Clock::time_point start = trace.spans(0).front().begin;
    for (int thread = 0; thread < trace.n_threads(); ++thread) {
      for (const Span& span : trace.spans(thread)) {
        nlohmann::json event = {
            {"ph", "X"},
            {"pid", process},
            {"tid", thread},
            {"name", NameOf(span.op)},
            {"ts", static_cast<double>(Nanoseconds(span.begin - start)) / 1e3},
            {"dur", static_cast<double>(Nanoseconds(span.end - span.begin)) / 1e3}};
        if (span.layer != StepTrace::kNoLayer) event["args"] = {{"layer", span.layer}};
        events.push_back(std::move(event));
      }
    }
  }
  const std::string text =
      nlohmann::json{{"displayTimeUnit", "ms"}, {"traceEvents", std::move(events)}}.dump();
  return WriteText(path, text);
}

}  // namespace quern
