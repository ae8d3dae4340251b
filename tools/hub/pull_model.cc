#include "tools/hub/pull_model.h"

#include <filesystem>
#include <system_error>
#include <utility>
#include <vector>

#include "gguf/base/printable.h"
#include "tools/hub/disk_space.h"
#include "tools/hub/file_lock.h"
#include "tools/hub/model_cache.h"
#include "tools/hub/model_choice.h"
#include "tools/hub/partial_file.h"

namespace quern {
namespace {

/// More than any file has, and no sum of a split set's overflows.
constexpr uint64_t kMostFileBytes = uint64_t{1} << 46;

/// One model on its way into one folder.
class Pull {
 public:
  Pull(const PullRequest& request, const PullReporter& reporter, std::string folder)
      : request_(request), reporter_(reporter), folder_(std::move(folder)) {}

  Result<std::string> Run() {
    const std::string repository = request_.name.repository();
    Result<HubListing> listing =
        FetchListing(request_.server, repository, request_.revision, request_.download.retry,
                     [this](const std::string& line) { Say(line); });
    if (!listing) return Propagate(listing);
    // Files are asked for by commit, so that all are of one even when the branch moves on.
    commit_ = listing->commit.empty() ? request_.revision : listing->commit;
    Result<std::vector<HubFile>> files =
        ChooseModel(listing->files, request_.name.quant, request_.file);
    if (!files) return Fail(files.error().code, "{}: {}", repository, files.error().message);
    for (const HubFile& file : *files) {
      if (file.size == 0 || file.size > kMostFileBytes) {
        return Fail(ErrorCode::kUnsupported,
                    "{}: the hub tells no size of {} that a file could have", repository,
                    Printable(file.path, file.path.size()));
      }
      n_bytes_ += file.size;
    }
    if (Status status = MakeFolders(*files); !status) return Propagate(status);
    if (Status status = CheckSpace(*files); !status) return Propagate(status);
    if (Status status = ModelCache::StoreListing(folder_, *listing); !status) {
      return Propagate(status);
    }
    for (const HubFile& file : *files) {
      if (Status status = PullFile(file); !status) return Propagate(status);
      n_before_ += file.size;
    }
    return PathOf(files->front());
  }

 private:
  std::string PathOf(const HubFile& file) const { return folder_ + "/" + file.path; }

  Status MakeFolders(const std::vector<HubFile>& files) const {
    for (const HubFile& file : files) {
      const std::filesystem::path folder = std::filesystem::path(PathOf(file)).parent_path();
      std::error_code error;
      std::filesystem::create_directories(folder, error);
      if (error) {
        return Fail(ErrorCode::kIo, "{}: cannot make the folder: {}",
                    Printable(folder.string(), 200), error.message());
      }
    }
    return {};
  }

  /// A file that is there counts as one that stays, and what there is of one as a beginning of it:
  /// whether they are is known only later, and a full disk is an error then too.
  Status CheckSpace(const std::vector<HubFile>& files) const {
    uint64_t n_missing = 0;
    for (const HubFile& file : files) {
      std::error_code error;
      const bool is_there = std::filesystem::file_size(PathOf(file), error) == file.size;
      if (is_there && !error) continue;
      const PartialFile::Extent left = PartialFile::ExtentAt(PathOf(file));
      n_missing += left.size == file.size ? file.size - left.n_done : file.size;
    }
    return CheckDiskSpace(folder_, n_missing);
  }

  Status PullFile(const HubFile& file) const {
    const std::string path = PathOf(file);
    Result<FileLock> lock = FileLock::Acquire(path + ".lock", [&] {
      Say(fmt::format("{}: another process downloads it, waiting for its end", file.path));
    });
    if (!lock) return Propagate(lock);
    if (ModelCache::IsCurrent(path, file, commit_)) return {};

    const auto report = [&](std::string_view what) {
      return [this, what](uint64_t n_done) {
        if (reporter_.progress) reporter_.progress(what, n_before_ + n_done, n_bytes_);
      };
    };
    const DownloadRequest download{
        .url = HubFileUrl(request_.server, request_.name.repository(), commit_, file.path),
        .token = request_.server.token,
        .what = file.path,
        .size = file.size,
        .sha256 = file.sha256};
    ModelCache::ForgetRecord(path);
    if (Status status = Download(download, path, request_.download,
                                 {.say = [this](const std::string& line) { Say(line); },
                                  .progress = report("downloading"),
                                  .check = report("checking")});
        !status) {
      return status;
    }
    return ModelCache::StoreRecord(path, file, commit_);
  }

  void Say(const std::string& line) const {
    if (reporter_.say) reporter_.say(line);
  }

  const PullRequest& request_;
  const PullReporter& reporter_;
  std::string folder_;
  std::string commit_;
  uint64_t n_bytes_ = 0;   ///< of all files
  uint64_t n_before_ = 0;  ///< of those that are done
};

/// Path of the model among `files`, which the folder must have whole.
Result<std::string> FindAmong(const std::vector<HubFile>& files, const std::string& folder,
                              const PullRequest& request) {
  Result<std::vector<HubFile>> chosen = ChooseModel(files, request.name.quant, request.file);
  if (!chosen) return Propagate(chosen);
  const std::string path = folder + "/" + chosen->front().path;
  if (ModelCache::HasAll(folder, *chosen)) return path;
  return Fail(ErrorCode::kNotFound, "not all of {} is there", Printable(path, path.size()));
}

Result<std::string> FolderFor(const PullRequest& request) {
  return ModelCache(request.cache_folder).FolderOf(request.name, request.revision);
}

}  // namespace

Result<std::string> FindModel(const PullRequest& request, const PullReporter& reporter) {
  Result<std::string> folder = FolderFor(request);
  if (!folder) return folder;
  const HubListing listing = ModelCache::LoadListing(*folder);
  if (auto path = FindAmong(listing.files, *folder, request)) return path;
  if (!request.offline) return PullModel(request, reporter);
  // What the hub's listing would make the choice is not there; something else may do.
  Result<std::string> path = FindAmong(ModelCache::FilesIn(*folder), *folder, request);
  if (path) return path;
  return Fail(path.error().code, "{}: not in the cache, and --offline forbids to ask the hub: {}",
              request.name.repository(), path.error().message);
}

Result<std::string> PullModel(const PullRequest& request, const PullReporter& reporter) {
  Result<std::string> folder = FolderFor(request);
  if (!folder) return folder;
  if (request.offline) {
    return Fail(ErrorCode::kInvalidArgument,
                "{}: to pull is to ask the hub, which --offline forbids",
                request.name.repository());
  }
  if (Status status = CheckHubServer(request.server); !status) return Propagate(status);
  return Pull(request, reporter, *std::move(folder)).Run();
}

}  // namespace quern
