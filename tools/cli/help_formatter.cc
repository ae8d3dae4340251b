#include "tools/cli/help_formatter.h"

#include <fmt/format.h>

namespace quern {

std::string ValueWord(const CLI::Option& option) {
  if (option.get_type_size() == 0) return "";
  // "INT:INT in [1 - 1024]": what a check adds stands behind a colon.
  const std::string full = option.get_type_name();
  const std::string type = full.substr(0, full.find(':'));
  if (type == "INT" || type == "UINT") return "N";
  if (type == "FLOAT") return "X";
  return type == "ENUM" ? "TYPE" : type;
}

std::string HelpFormatter::make_option_name(const CLI::Option* option, bool is_positional) const {
  const std::string name = Formatter::make_option_name(option, is_positional);
  const std::string word = is_positional ? "" : ValueWord(*option);
  return word.empty() ? name : name + " " + word;
}

std::string HelpFormatter::make_option_desc(const CLI::Option* option) const {
  std::string text = option->get_description();
  if (!option->get_default_str().empty()) {
    text += fmt::format(" (default: {})", option->get_default_str());
  }
  if (option->get_required() && !option->get_positional()) text += " (required)";
  return text;
}

}  // namespace quern
