// How --help looks: options with the word that stands for their value, without CLI11's types and
// checks.
#pragma once

#include <CLI/CLI.hpp>
#include <string>

namespace quern {

/// The word that stands for the value of an option: "N", "TEXT", "FILE"; empty for a flag.
std::string ValueWord(const CLI::Option& option);

class HelpFormatter : public CLI::Formatter {
 public:
  /// With " N", " FILE" behind an option's names; nothing behind a flag or a positional argument.
  std::string make_option_name(const CLI::Option* option, bool is_positional) const override;

  /// Nothing: CLI11's types and checks.
  std::string make_option_opts(const CLI::Option* /*option*/) const override { return ""; }

  /// With the default, where an option states one.
  std::string make_option_desc(const CLI::Option* option) const override;
};

}  // namespace quern
