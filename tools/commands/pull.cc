// `quern pull`: downloads a model from a hub, or brings it up to date.
#include <fmt/format.h>

#include <memory>
#include <string>

#include "tools/cli/commands.h"
#include "tools/options/hub_options.h"

namespace quern {
namespace {

struct PullOptions {
  std::string name;
  HubOptions hub;
};

Result<int> Pull(const PullOptions& options) {
  const Result<std::string> path = options.hub.Pull(options.name);
  if (!path) return tl::unexpected(path.error());
  fmt::print("{}\n", *path);
  return 0;
}

}  // namespace

void AddPullCommand(Commands& commands) {
  auto options = std::make_shared<PullOptions>();
  CLI::App* command = commands.Add("pull", "Download a model from a hub; prints where its file is",
                                   [options] { return Pull(*options); });
  command
      ->add_option("NAME", options->name,
                   "ORG/REPO[:QUANT] (QUANT: Q4_K_M, else the only one that there is)")
      ->required();
  options->hub.AddTo(command);
}

}  // namespace quern
