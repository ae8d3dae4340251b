// `quern rm`: removes downloaded models, and what unfinished downloads left.
#include <fmt/format.h>

#include <memory>
#include <string>
#include <vector>

#include "gguf/base/format_number.h"
#include "gguf/base/printable.h"
#include "tools/cli/commands.h"
#include "tools/hub/model_cache.h"
#include "tools/hub/model_choice.h"
#include "tools/options/hub_options.h"

namespace quern {
namespace {

struct RemoveOptions {
  std::string name;
  std::string file;
  std::string cache_folder;
};

Result<int> Remove(const RemoveOptions& options) {
  const Result<HubName> name = ParseHubName(options.name);
  if (!name) return tl::unexpected(name.error());
  const Result<std::string> folder = CacheFolder(options.cache_folder);
  if (!folder) return tl::unexpected(folder.error());
  const ModelCache cache(*folder);
  std::vector<CachedModel> of_repository;
  for (CachedModel& model : cache.List()) {
    if (model.repository == name->repository()) of_repository.push_back(std::move(model));
  }
  size_t n_removed = 0;
  std::string others;
  for (const CachedModel& model : of_repository) {
    const bool is_meant =
        options.file.empty() ? HasQuant(model.file, name->quant) : model.file == options.file;
    if (!is_meant) {
      others += (others.empty() ? "" : ", ") + Printable(model.file, model.file.size());
      continue;
    }
    if (Status status = cache.Remove(model); !status) return Propagate(status);
    fmt::print("removed {}/{} ({})\n", model.repository, Printable(model.file, model.file.size()),
               FormatBytes(model.size));
    ++n_removed;
  }
  if (n_removed > 0) return 0;
  return Fail(ErrorCode::kNotFound, "{}: not in {}{}{}", options.name,
              Printable(*folder, folder->size()),
              others.empty() ? "" : ", which has of it: ", others);
}

}  // namespace

void AddRemoveCommand(Commands& commands) {
  auto options = std::make_shared<RemoveOptions>();
  CLI::App* command = commands.Add("rm", "Remove a downloaded model, or what there is of one",
                                   [options] { return Remove(*options); });
  command
      ->add_option("NAME", options->name,
                   "ORG/REPO[:QUANT], as quern list shows it; without QUANT, all of the repository")
      ->required();
  AddHubFileOption(command, &options->file);
  AddCacheOption(command, &options->cache_folder);
}

}  // namespace quern
