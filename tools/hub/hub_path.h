// Names that come from a command line or a hub, checked before they become paths.
#pragma once

#include <string>
#include <string_view>

#include "gguf/base/result.h"

namespace quern {

/// A model's name: "ORG/REPO", or "ORG/REPO:QUANT".
struct HubName {
  std::string org;
  std::string repo;
  std::string quant;  ///< empty: any

  /// "ORG/REPO".
  std::string repository() const { return org + "/" + repo; }
};

/// Error: kInvalidArgument for what is no such name.
Result<HubName> ParseHubName(std::string_view text);

/// Nothing but an error, kInvalidArgument, when `path` could leave the folder that it is put in, or
/// would not look in a terminal like what it is.
Status CheckHubPath(std::string_view path);

/// A branch, tag or commit as a folder's name. Error: kInvalidArgument for what is none.
Result<std::string> RevisionFolder(std::string_view revision);

}  // namespace quern
