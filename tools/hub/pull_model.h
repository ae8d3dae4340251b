// A model of a hub on this machine: found in the cache, or downloaded into it.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "gguf/base/result.h"
#include "tools/hub/download.h"
#include "tools/hub/hub_client.h"
#include "tools/hub/hub_path.h"

namespace quern {

struct PullRequest {
  HubName name;
  std::string file;  ///< path in the repository; empty: by the name's quantization
  std::string revision = "main";
  HubServer server;
  std::string cache_folder;
  bool offline = false;  ///< no question to the hub
  DownloadOptions download;
};

/// Called from the thread that pulls, and may be empty.
struct PullReporter {
  std::function<void(const std::string& line)> say;
  /// `n_done` of `n_bytes` of the whole model are there, or hashed, as `what` says.
  std::function<void(std::string_view what, uint64_t n_done, uint64_t n_bytes)> progress;
};

/// Path of the model's (first) file: at once when the cache has all that was asked for, else by
/// PullModel. Error: kNotFound when it would have to ask and may not; those of PullModel.
Result<std::string> FindModel(const PullRequest& request, const PullReporter& reporter);

/// The same after asking the hub: downloads what is not there or no longer the hub's. Errors: those
/// of FetchListing, ChooseModel, CheckDiskSpace and Download.
Result<std::string> PullModel(const PullRequest& request, const PullReporter& reporter);

}  // namespace quern
