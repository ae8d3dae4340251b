// Scripts that complete command lines in the shells that people use.
#pragma once

#include <string>

#include "tools/cli/command_tree.h"

namespace quern {

/// To be sourced, or to lie in share/bash-completion/completions as the program's name.
std::string BashCompletion(const CommandDescription& root);

/// To lie in a folder of $fpath as "_" and the program's name.
std::string ZshCompletion(const CommandDescription& root);

/// To be sourced, or to lie in share/fish/vendor_completions.d as the program's name and ".fish".
std::string FishCompletion(const CommandDescription& root);

}  // namespace quern
