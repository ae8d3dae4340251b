// What a rule of screening found in the prompts of a request.
#pragma once

#include <cstdint>
#include <string>

namespace quern {

enum class ScreeningAction : uint8_t {
  kLog,
  kBlock,
  kGaveUp,  ///< it would take too long to find out; the request goes on
};

struct ScreenedRule {
  std::string name;
  ScreeningAction action = ScreeningAction::kLog;
};

inline const char* ActionName(ScreeningAction action) {
  switch (action) {
    case ScreeningAction::kLog:
      return "log";
    case ScreeningAction::kBlock:
      return "block";
    case ScreeningAction::kGaveUp:
      return "gave_up";
  }
  return "unknown";
}

}  // namespace quern
