// The folder of downloaded models: where each file is, what is there, and how it goes away.
// FOLDER/models/ORG/REPO/REVISION/FILE, beside it FILE.json, which says what it is.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "gguf/base/result.h"
#include "tools/hub/hub_client.h"
#include "tools/hub/hub_path.h"

namespace quern {

/// What of a model is there: a whole model, or a part of it.
struct CachedModel {
  std::string repository;  ///< "ORG/REPO"
  std::string revision;    ///< as the folder has it
  std::string file;        ///< the path in the repository, of a split set the first
  std::string quant;       ///< empty: the name tells none
  std::vector<std::string> paths =
      {};             ///< on this machine, without what an unfinished file is called
  uint64_t size = 0;  ///< bytes that are there
  bool is_whole = false;
  std::filesystem::file_time_type time = {};  ///< of the last file
};

class ModelCache {
 public:
  explicit ModelCache(const std::string& folder) : root_(folder + "/models") {}

  /// QUERN_CACHE, else XDG_CACHE_HOME/quern, else ~/.cache/quern. Error: kNotFound without any.
  static Result<std::string> DefaultFolder();

  /// Folder of what `name` has at `revision`. Errors: those of RevisionFolder.
  Result<std::string> FolderOf(const HubName& name, const std::string& revision) const;

  /// All model files in the folder, finished or not; their paths alone are known.
  static std::vector<HubFile> FilesIn(const std::string& folder);
  /// The listing that was stored last, else one of FilesIn.
  static HubListing LoadListing(const std::string& folder);
  static Status StoreListing(const std::string& folder, const HubListing& listing);

  /// Whether the file at `path` is what the hub has as `file` in `commit`; a file that nothing is
  /// known of is hashed. A file of the same contents is noted as of `commit`.
  static bool IsCurrent(const std::string& path, const HubFile& file, const std::string& commit);
  /// Notes what the file at `path` is, which is a download's last step.
  static Status StoreRecord(const std::string& path, const HubFile& file,
                            const std::string& commit);
  /// Before a download replaces the file.
  static void ForgetRecord(const std::string& path);
  /// Whether all `files` are there, and of one commit.
  static bool HasAll(const std::string& folder, const std::vector<HubFile>& files);

  /// By name.
  std::vector<CachedModel> List() const;
  /// Removes a model and what was left of unfinished downloads of it. Errors: kInvalidArgument when
  /// another process is at it, kIo.
  Status Remove(const CachedModel& model) const;

 private:
  std::string root_;
};

}  // namespace quern
