// The operator's rules on prompts: patterns whose finds are logged, or keep a request from an
// answer.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "gguf/base/pattern.h"
#include "gguf/base/result.h"
#include "server/telemetry/screened_rule.h"

namespace quern {

/// Thread-safe.
class Screening {
 public:
  static constexpr size_t kMostRules = 100;

  /// A rule a line: `NAME log|block PATTERN`, the pattern up to the line's end, with upper and
  /// lower case alike. Blank lines and those that begin with `#` are passed over. Errors:
  /// kNotFound, kIo; kInvalidArgument naming file and line, and for a file without a rule.
  static Result<Screening> Read(const std::string& path);

  /// The rules whose pattern is found in `text`, and those that gave up, in the order of the file.
  /// Each takes at most the time of Pattern::Find.
  std::vector<ScreenedRule> Find(std::string_view text) const;

 private:
  struct Rule {
    std::string name;
    ScreeningAction action;
    Pattern pattern;
  };
  static Result<Rule> ParseRule(std::string_view line);

  explicit Screening(std::vector<Rule> rules) : rules_(std::move(rules)) {}

  std::vector<Rule> rules_;
};

}  // namespace quern
