#include "tools/hub/model_cache.h"

#include <algorithm>
#include <cstdlib>
#include <map>
#include <nlohmann/json.hpp>
#include <system_error>
#include <tuple>
#include <utility>

#include "gguf/base/parse_json.h"
#include "gguf/base/printable.h"
#include "gguf/base/read_text.h"
#include "gguf/base/write_text.h"
#include "gguf/split_name.h"
#include "tools/hub/file_lock.h"
#include "tools/hub/model_choice.h"
#include "tools/hub/partial_file.h"
#include "tools/hub/sha256.h"

namespace quern {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kModelSuffix = ".gguf";
constexpr std::string_view kPartialSuffix = ".gguf.partial";

std::string ListingPath(const std::string& folder) { return folder + "/listing.json"; }
std::string RecordPath(const std::string& path) { return path + ".json"; }

/// What a file in the cache is.
struct Record {
  uint64_t size = 0;
  std::string sha256;
  std::string commit;
};

std::optional<Record> LoadRecord(const std::string& path) {
  const Result<std::string> text = ReadText(RecordPath(path));
  if (!text) return std::nullopt;
  const Result<nlohmann::json> json = ParseJsonObject(*text);
  if (!json) return std::nullopt;
  try {
    return Record{json->at("size"), json->at("sha256"), json->at("commit")};
  } catch (const nlohmann::json::exception&) {
    return std::nullopt;
  }
}

/// 0 when there is none.
uint64_t SizeOf(const std::string& path) {
  std::error_code error;
  const uint64_t size = fs::file_size(path, error);
  return error ? 0 : size;
}

/// The folders in `folder`, by name; those whose name begins with a dot are not ours.
std::vector<fs::path> FoldersIn(const fs::path& folder) {
  std::vector<fs::path> folders;
  std::error_code error;
  for (fs::directory_iterator at(folder, error), end; !error && at != end; at.increment(error)) {
    const bool is_hidden = at->path().filename().string().starts_with('.');
    if (!is_hidden && at->is_directory(error)) folders.push_back(at->path());
  }
  std::sort(folders.begin(), folders.end());
  return folders;
}

/// Paths in the repository of all model files below `folder`, finished or not, each once.
std::vector<std::string> PathsIn(const fs::path& folder) {
  std::vector<std::string> files;
  std::error_code error;
  for (fs::recursive_directory_iterator at(folder, error), end; !error && at != end;
       at.increment(error)) {
    std::string file = at->path().lexically_relative(folder).string();
    if (file.ends_with(kPartialSuffix)) {
      file.resize(file.size() - kPartialSuffix.size() + kModelSuffix.size());
    }
    if (file.ends_with(kModelSuffix) && at->is_regular_file(error)) files.push_back(file);
  }
  std::sort(files.begin(), files.end());
  files.erase(std::unique(files.begin(), files.end()), files.end());
  return files;
}

/// `model` has no paths yet but this first one, `file` in `folder`.
void AddFile(CachedModel& model, const fs::path& folder, const std::string& file) {
  const std::string path = (folder / file).string();
  model.paths.push_back(path);
  std::error_code error;
  const bool is_there = fs::exists(path, error);
  model.size += is_there ? SizeOf(path) : PartialFile::ExtentAt(path).n_done;
  model.is_whole = model.is_whole && is_there;
  const auto time = fs::last_write_time(is_there ? path : path + ".partial", error);
  if (!error) model.time = std::max(model.time, time);
}

}  // namespace

Result<std::string> ModelCache::DefaultFolder() {
  const auto variable = [](const char* name) {
    const char* value = std::getenv(name);
    return std::string(value == nullptr ? "" : value);
  };
  if (std::string folder = variable("QUERN_CACHE"); !folder.empty()) return folder;
  if (const std::string caches = variable("XDG_CACHE_HOME"); !caches.empty()) {
    return caches + "/quern";
  }
  if (const std::string home = variable("HOME"); !home.empty()) return home + "/.cache/quern";
  return Fail(ErrorCode::kNotFound,
              "no folder for models: give one with --cache-dir or QUERN_CACHE");
}

Result<std::string> ModelCache::FolderOf(const HubName& name, const std::string& revision) const {
  Result<std::string> folder = RevisionFolder(revision);
  if (!folder) return folder;
  return root_ + "/" + name.repository() + "/" + *folder;
}

std::vector<HubFile> ModelCache::FilesIn(const std::string& folder) {
  std::vector<HubFile> files;
  for (std::string& path : PathsIn(folder)) files.push_back({.path = std::move(path)});
  return files;
}

HubListing ModelCache::LoadListing(const std::string& folder) {
  if (const Result<std::string> text = ReadText(ListingPath(folder))) {
    if (Result<HubListing> listing = ParseHubListing(*text)) return *std::move(listing);
  }
  return {.commit = "", .files = FilesIn(folder)};
}

Status ModelCache::StoreListing(const std::string& folder, const HubListing& listing) {
  return WriteText(ListingPath(folder), HubListingJson(listing));
}

bool ModelCache::IsCurrent(const std::string& path, const HubFile& file,
                           const std::string& commit) {
  if (SizeOf(path) != file.size) return false;
  std::optional<Record> record = LoadRecord(path);
  if (record && record->sha256 == file.sha256 && record->commit == commit) return true;
  if (file.sha256.empty()) return false;
  if (!record) {
    const Result<std::string> sha256 = Sha256OfFile(path);
    if (sha256) record = Record{.size = file.size, .sha256 = *sha256, .commit = ""};
  }
  return record && record->sha256 == file.sha256 && StoreRecord(path, file, commit);
}

Status ModelCache::StoreRecord(const std::string& path, const HubFile& file,
                               const std::string& commit) {
  const nlohmann::json json = {{"size", file.size}, {"sha256", file.sha256}, {"commit", commit}};
  return WriteText(RecordPath(path), json.dump());
}

void ModelCache::ForgetRecord(const std::string& path) { std::remove(RecordPath(path).c_str()); }

bool ModelCache::HasAll(const std::string& folder, const std::vector<HubFile>& files) {
  std::optional<std::string> commit;
  for (const HubFile& file : files) {
    const std::string path = folder + "/" + file.path;
    std::error_code error;
    if (!fs::is_regular_file(path, error)) return false;
    const std::optional<Record> record = LoadRecord(path);
    const std::string its_commit = record ? record->commit : std::string();
    // Between the files of two commits an update was interrupted.
    if (commit && *commit != its_commit) return false;
    commit = its_commit;
  }
  return !files.empty();
}

std::vector<CachedModel> ModelCache::List() const {
  std::vector<CachedModel> models;
  for (const fs::path& org : FoldersIn(root_)) {
    for (const fs::path& repo : FoldersIn(org)) {
      for (const fs::path& revision : FoldersIn(repo)) {
        std::map<std::string, CachedModel> by_file;
        for (const std::string& file : PathsIn(revision)) {
          const auto split = ParseSplitName(file);
          const std::string first = split ? SplitPath(split->prefix, 1, split->count) : file;
          const auto [model, is_new] = by_file.try_emplace(first);
          if (is_new) {
            model->second = {.repository = org.filename().string() + "/" + repo.filename().string(),
                             .revision = revision.filename().string(),
                             .file = first,
                             .quant = QuantOf(first),
                             .is_whole = true};
            model->second.time = fs::file_time_type::min();
          }
          AddFile(model->second, revision, file);
        }
        for (auto& [first, model] : by_file) {
          const auto split = ParseSplitName(first);
          if (split && model.paths.size() != split->count) model.is_whole = false;
          models.push_back(std::move(model));
        }
      }
    }
  }
  return models;
}

Status ModelCache::Remove(const CachedModel& model) const {
  {
    std::vector<FileLock> locks;
    for (const std::string& path : model.paths) {
      Result<std::optional<FileLock>> lock = FileLock::TryAcquire(path + ".lock");
      if (!lock) return Propagate(lock);
      if (!*lock) {
        return Fail(ErrorCode::kInvalidArgument, "{}: another process downloads it",
                    Printable(model.file, model.file.size()));
      }
      locks.push_back(std::move(**lock));
    }
    for (const std::string& path : model.paths) {
      std::error_code error;
      fs::remove(path, error);
      if (error) {
        return Fail(ErrorCode::kIo, "{}: cannot remove: {}", Printable(path, path.size()),
                    error.message());
      }
      ForgetRecord(path);
      PartialFile::RemoveAt(path);
    }
  }
  const fs::path folder = fs::path(root_) / model.repository / model.revision;
  if (PathsIn(folder).empty()) std::remove(ListingPath(folder.string()).c_str());
  // Folders that are empty now; the first that is not ends it.
  std::error_code error;
  for (fs::path at = fs::path(model.paths.front()).parent_path();
       at != fs::path(root_) && fs::remove(at, error) && !error; at = at.parent_path()) {
  }
  return {};
}

}  // namespace quern
