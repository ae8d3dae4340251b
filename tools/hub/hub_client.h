// The interface of a Hugging Face style hub: what a repository holds, and where its files are.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "gguf/base/result.h"
#include "tools/hub/backoff.h"
#include "tools/hub/http_client.h"
#include "tools/hub/model_choice.h"

namespace quern {

struct HubListing {
  std::string commit;  ///< that the revision stands for; empty: the hub does not tell
  std::vector<HubFile> files = {};
};

/// The body of GET /api/models/ORG/REPO/revision/REVISION?blobs=true. Entries that make no sense
/// are left out. Error: kCorruptFile for what is no such answer.
Result<HubListing> ParseHubListing(std::string_view json);

/// What ParseHubListing reads.
std::string HubListingJson(const HubListing& listing);

struct HubServer {
  std::string endpoint = "https://huggingface.co";
  std::string token;  ///< empty: none
};

/// Error: kInvalidArgument for an endpoint that is no http or https URL, and for a token that no
/// header may hold.
Status CheckHubServer(const HubServer& server);

/// Asks for the listing of `repository` ("ORG/REPO"). Errors: kNotFound, kInvalidArgument without
/// access, kIo. `say` gets a line when it waits to try again.
Result<HubListing> FetchListing(const HubServer& server, const std::string& repository,
                                const std::string& revision, const RetryPolicy& retry,
                                const std::function<void(const std::string&)>& say = {});

/// Where the file is; `revision` may be a commit.
std::string HubFileUrl(const HubServer& server, const std::string& repository,
                       const std::string& revision, const std::string& path);

/// The error that an answer other than 2xx is, for `what` was asked for ("ORG/REPO").
tl::unexpected<Error> HubRefusal(const HttpResponse& response, std::string_view what,
                                 bool has_token);

}  // namespace quern
