// `quern man`: prints the manual page, for those who install it.
#include <fmt/format.h>

#include "tools/cli/command_tree.h"
#include "tools/cli/commands.h"
#include "tools/cli/manual_page.h"

namespace quern {

void AddManCommand(Commands& commands) {
  CLI::App* command =
      commands.Add("man", "Print the manual page (quern man | man -l -)", [&commands] {
        fmt::print("{}", ManualPage(Describe(commands.app())));
        return 0;
      });
  command->group("");  // once it is installed, there is `man quern`
}

}  // namespace quern
