#include "server/screening.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>

#include "gguf/printable.h"
#include "server/operator_name.h"

namespace quern {
namespace {

constexpr std::string_view kBlanks = " \t\r";

std::string_view Trimmed(std::string_view text) {
  const size_t begin = std::min(text.find_first_not_of(kBlanks), text.size());
  return text.substr(begin, text.find_last_not_of(kBlanks) + 1 - begin);
}

/// Takes the first word off `line`, with the blanks behind it.
std::string_view TakeWord(std::string_view* line) {
  const std::string_view word = line->substr(0, line->find_first_of(kBlanks));
  *line = Trimmed(line->substr(word.size()));
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
  std::ifstream file(path);
  if (!file) {
    return Fail(ErrorCode::kNotFound, "cannot open the file of screening rules {}: {}",
                Quoted(path), std::strerror(errno));
  }
  std::vector<Rule> rules;
  std::string line;
  for (size_t number = 1; std::getline(file, line); ++number) {
    const std::string_view text = Trimmed(line);
    if (text.empty() || text.front() == '#') continue;
    Result<Rule> rule = ParseRule(text);
    if (!rule) {
      return Fail(rule.error().code, "{}, line {}: {}", path, number, rule.error().message);
    }
    const bool taken = std::any_of(rules.begin(), rules.end(),
                                   [&](const Rule& other) { return other.name == rule->name; });
    if (taken) {
      return Fail(ErrorCode::kInvalidArgument, "{}, line {}: there is another rule {}", path,
                  number, Quoted(rule->name));
    }
    if (rules.size() == kMostRules) {
      return Fail(ErrorCode::kInvalidArgument,
                  "{}, line {}: there are {} rules before it, the most", path, number, kMostRules);
    }
    rules.push_back(*std::move(rule));
  }
  if (file.bad() || !file.eof()) {
    return Fail(ErrorCode::kIo, "cannot read the file of screening rules {}: {}", Quoted(path),
                std::strerror(errno));
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
