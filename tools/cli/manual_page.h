// The manual page, quern(1).
#pragma once

#include <string>

#include "tools/cli/command_tree.h"

namespace quern {

/// In the language of man(7), which groff and mandoc read.
std::string ManualPage(const CommandDescription& root);

}  // namespace quern
