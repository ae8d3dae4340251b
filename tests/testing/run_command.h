// Runs a `quern` command line in this process, as its executable would.
#pragma once

#include <string>
#include <vector>

namespace quern::testing {

struct Outcome {
  int exit_code;
  std::string out;
  std::string err;
};

/// `arguments` begin with the command's name; `input` is what stdin holds.
Outcome RunCommand(std::vector<std::string> arguments, const std::string& input = "");

/// Expects that the command failed with `message` in its error, and printed nothing else.
void ExpectError(const Outcome& outcome, const std::string& message);

}  // namespace quern::testing
