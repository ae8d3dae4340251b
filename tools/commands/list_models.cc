// `quern list`: the models that were downloaded.
#include <fmt/chrono.h>
#include <fmt/format.h>

#include <chrono>
#include <cstdio>
#include <ctime>
#include <memory>
#include <string>

#include "gguf/base/format_number.h"
#include "gguf/base/printable.h"
#include "tools/cli/commands.h"
#include "tools/hub/model_cache.h"
#include "tools/options/hub_options.h"
#include "tools/terminal/text_table.h"

namespace quern {
namespace {

struct ListOptions {
  std::string cache_folder;
};

/// "2026-11-25 13:10", in local time.
std::string LocalTime(std::filesystem::file_time_type time) {
  const auto system_time = std::chrono::file_clock::to_sys(time);
  const std::time_t seconds = std::chrono::system_clock::to_time_t(
      std::chrono::time_point_cast<std::chrono::system_clock::duration>(system_time));
  std::tm local = {};
  localtime_r(&seconds, &local);
  return fmt::format("{:%Y-%m-%d %H:%M}", local);
}

/// What -hf takes, as far as a name can say it.
std::string NameOf(const CachedModel& model) {
  std::string name = model.repository;
  if (!model.quant.empty()) name += ":" + model.quant;
  if (model.revision != "main") name += " (" + model.revision + ")";
  return Printable(name, name.size());
}

Result<int> List(const ListOptions& options) {
  const Result<std::string> folder = CacheFolder(options.cache_folder);
  if (!folder) return tl::unexpected(folder.error());
  const std::vector<CachedModel> models = ModelCache(*folder).List();
  if (models.empty()) {
    fmt::print(stderr, "no models in {}\n", Printable(*folder, folder->size()));
    return 0;
  }
  using Align = TextTable::Align;
  TextTable table({Align::kLeft, Align::kLeft, Align::kRight, Align::kLeft, Align::kLeft});
  table.AddRow({"name", "quant", "size", "when", "file"});
  for (const CachedModel& model : models) {
    table.AddRow({NameOf(model), model.quant.empty() ? "?" : model.quant,
                  FormatBytes(model.size) + (model.is_whole ? "" : " so far"),
                  LocalTime(model.time), Printable(model.file, model.file.size())});
  }
  fmt::print("{}", table.Format());
  return 0;
}

}  // namespace

void AddListCommand(Commands& commands) {
  auto options = std::make_shared<ListOptions>();
  CLI::App* command =
      commands.Add("list", "List the downloaded models", [options] { return List(*options); });
  AddCacheOption(command, &options->cache_folder);
}

}  // namespace quern
