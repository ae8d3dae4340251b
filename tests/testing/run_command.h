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

}  // namespace quern::testing
