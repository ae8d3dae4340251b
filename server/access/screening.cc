#include "server/access/screening.h"

#include <algorithm>

#include "gguf/base/line_file.h"
#include "gguf/base/operator_name.h"
#include "gguf/base/printable.h"

namespace quern {
namespace {

/// Takes the first word off `line`, with the blanks behind it.
std::string_view TakeWord(std::string_view* line) {
  constexpr std::string_view kBlanks = " \t";
  const std::string_view word = line->substr(0, line->find_first_of(kBlanks));
  line->remove_prefix(word.size());
  line->remove_prefix(std::min(line->find_first_not_of(kBlanks), line->size()));
  return word;
}

}  // namespace

Result<Screening::Rule> Screening::ParseRule(std::string_view line) {
  const std::string_view name = TakeWord(&line);
  const std::string_view action = TakeWord(&line);
  if (!IsOperatorName(name)) {
    return Fail(ErrorCode::kInvalidArgument,
                "{} is no name of a rule, expected 1 to {} letters, digits, '.', '_' and '-'",
                Quoted(name), kMaxOperatorNameBytes);
  }
  if (action != "log" && action != "block") {
    return Fail(ErrorCode::kInvalidArgument,
                "the rule {} has the action {}, expected NAME log|block PATTERN", Quoted(name),
                Quoted(action));
  }
  if (line.empty()) {
    return Fail(ErrorCode::kInvalidArgument,
                "the rule {} has no pattern, expected NAME log|block PATTERN", Quoted(name));
  }
  Result<Pattern> pattern = Pattern::Compile(line, Pattern::Case::kIgnored);
  if (!pattern) return Propagate(pattern);
  if (pattern->Find("") == Pattern::Outcome::kFound) {
    return Fail(ErrorCode::kInvalidArgument,
                "the pattern {} is found in an empty text, and so in all prompts", Quoted(line));
  }
  return Rule{std::string(name),
              action == "block" ? ScreeningAction::kBlock : ScreeningAction::kLog,
              *std::move(pattern)};
}

Result<Screening> Screening::Read(const std::string& path) {
  std::vector<Rule> rules;
  const auto take = [&rules](std::string_view line, size_t /*number*/) -> Status {
    Result<Rule> rule = ParseRule(line);
    if (!rule) return Propagate(rule);
    const bool taken = std::any_of(rules.begin(), rules.end(),
                                   [&](const Rule& other) { return other.name == rule->name; });
    if (taken) {
      return Fail(ErrorCode::kInvalidArgument, "there is another rule {}", Quoted(rule->name));
    }
    if (rules.size() == kMostRules) {
      return Fail(ErrorCode::kInvalidArgument, "there are {} rules before it, the most",
                  kMostRules);
    }
    rules.push_back(*std::move(rule));
    return {};
  };
  if (Status status = ReadLines(path, "file of screening rules", take); !status) {
    return Propagate(status);
  }
  if (rules.empty()) {
    return Fail(ErrorCode::kInvalidArgument,
                "{} has no rule, expected NAME log|block PATTERN on a line", path);
  }
  return Screening(std::move(rules));
}

std::vector<ScreenedRule> Screening::Find(std::string_view text) const {
  std::vector<ScreenedRule> found;
  for (const Rule& rule : rules_) {
    switch (rule.pattern.Find(text)) {
      case Pattern::Outcome::kNotFound:
        break;
      case Pattern::Outcome::kFound:
        found.push_back({rule.name, rule.action});
        break;
      case Pattern::Outcome::kGivenUp:
        found.push_back({rule.name, ScreeningAction::kGaveUp});
        break;
    }
  }
  return found;
}

}  // namespace quern
