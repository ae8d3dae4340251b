// What `quern tune` prints: the table, the best settings with their reasons, or all of it as JSON.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "tools/measure/tune_runner.h"

namespace quern {

/// Aligned text. `command` is the command line that has the best settings.
std::string TuneText(const TuneResult& result, const TuneSettings& settings,
                     const std::string& command);

nlohmann::ordered_json TuneJson(const TuneResult& result, const TuneSettings& settings,
                                const std::string& command);

}  // namespace quern
