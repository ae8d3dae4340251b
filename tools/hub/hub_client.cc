#include "tools/hub/hub_client.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <optional>
#include <thread>
#include <utility>

#include "gguf/base/parse_json.h"
#include "gguf/base/printable.h"

namespace quern {
namespace {

using Json = nlohmann::json;

/// Of an answer that lists files: the largest repositories have some thousand.
constexpr size_t kMostListingBytes = 32 << 20;

const Json* Member(const Json& object, const char* name) {
  if (!object.is_object()) return nullptr;
  const auto found = object.find(name);
  return found == object.end() ? nullptr : &*found;
}

std::string StringOf(const Json* value) {
  return value != nullptr && value->is_string() ? value->get<std::string>() : std::string();
}

uint64_t SizeOf(const Json* value) {
  return value != nullptr && value->is_number_unsigned() ? value->get<uint64_t>() : 0;
}

bool IsHex(std::string_view text, size_t least, size_t most) {
  return text.size() >= least && text.size() <= most &&
         text.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

/// Empty for what is none.
std::string CheckedSha256(std::string text) {
  return IsHex(text, 64, 64) ? std::move(text) : std::string();
}

HubFile FileOf(const Json& entry) {
  HubFile file{.path = StringOf(Member(entry, "rfilename"))};
  file.size = SizeOf(Member(entry, "size"));
  if (const Json* lfs = Member(entry, "lfs")) {
    // The entry itself may tell the size of the pointer in the repository.
    if (const uint64_t size = SizeOf(Member(*lfs, "size")); size != 0) file.size = size;
    file.sha256 = CheckedSha256(StringOf(Member(*lfs, "sha256")));
    if (file.sha256.empty()) file.sha256 = CheckedSha256(StringOf(Member(*lfs, "oid")));
  }
  return file;
}

std::string_view WithoutSlash(std::string_view endpoint) {
  while (endpoint.ends_with('/')) endpoint.remove_suffix(1);
  return endpoint;
}

}  // namespace

Result<HubListing> ParseHubListing(std::string_view json) {
  Result<Json> answer = ParseJsonObject(json);
  if (!answer) return Fail(ErrorCode::kCorruptFile, "{}", answer.error().message);
  const Json* siblings = Member(*answer, "siblings");
  if (siblings == nullptr || !siblings->is_array()) {
    return Fail(ErrorCode::kCorruptFile, "no list 'siblings' of files");
  }
  HubListing listing{.commit = StringOf(Member(*answer, "sha"))};
  if (!IsHex(listing.commit, 40, 64)) listing.commit.clear();
  for (const Json& entry : *siblings) {
    HubFile file = FileOf(entry);
    if (!file.path.empty()) listing.files.push_back(std::move(file));
  }
  return listing;
}

std::string HubListingJson(const HubListing& listing) {
  Json siblings = Json::array();
  for (const HubFile& file : listing.files) {
    Json entry = {{"rfilename", file.path}, {"size", file.size}};
    if (!file.sha256.empty()) entry["lfs"] = {{"sha256", file.sha256}, {"size", file.size}};
    siblings.push_back(std::move(entry));
  }
  return Json{{"sha", listing.commit}, {"siblings", std::move(siblings)}}.dump(
      1, ' ', false, Json::error_handler_t::replace);
}

Status CheckHubServer(const HubServer& server) {
  const std::string& endpoint = server.endpoint;
  const bool is_url = endpoint.starts_with("https://") || endpoint.starts_with("http://");
  // A password in it would show up in messages.
  if (!is_url || endpoint.find_first_of("@?# ") != std::string::npos) {
    return Fail(ErrorCode::kInvalidArgument,
                "the hub's endpoint {} is none, expected a URL like https://huggingface.co",
                endpoint.find('@') == std::string::npos ? Quoted(endpoint) : "with a user");
  }
  const bool is_token = std::all_of(server.token.begin(), server.token.end(),
                                    [](char c) { return c > ' ' && c < '\x7f'; });
  if (!is_token) {
    return Fail(ErrorCode::kInvalidArgument, "the hub's token has a character that none has");
  }
  return {};
}

Result<HubListing> FetchListing(const HubServer& server, const std::string& repository,
                                const std::string& revision, const RetryPolicy& retry,
                                const std::function<void(const std::string&)>& say) {
  const std::string url =
      fmt::format("{}/api/models/{}/revision/{}?blobs=true", WithoutSlash(server.endpoint),
                  UrlEscaped(repository, true), UrlEscaped(revision, false));
  HttpClient client;
  Backoff backoff(retry);
  for (;;) {
    std::string body;
    const HttpResponse response =
        client.Get({.url = url, .token = server.token},
                   [&](const HttpResponse&, std::span<const std::byte> bytes) {
                     body.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
                     return body.size() <= kMostListingBytes;
                   });
    if (response.status == 200 && response.ending == HttpEnding::kWhole) {
      Result<HubListing> listing = ParseHubListing(body);
      if (listing) return listing;
      return Fail(ErrorCode::kCorruptFile, "{}: {} lists no repository: {}", repository,
                  server.endpoint, listing.error().message);
    }
    if (response.ending == HttpEnding::kStopped) {
      return Fail(ErrorCode::kCorruptFile, "{}: {} lists more than {} bytes", repository,
                  server.endpoint, kMostListingBytes);
    }
    // Who is not connected at all wants to know it at once.
    const auto wait = response.status != 0 && MayPass(response)
                          ? backoff.Next(response)
                          : std::optional<std::chrono::milliseconds>();
    if (!wait) return HubRefusal(response, repository, !server.token.empty());
    if (say) say(Backoff::LineOf(response, *wait));
    std::this_thread::sleep_for(*wait);
  }
}

std::string HubFileUrl(const HubServer& server, const std::string& repository,
                       const std::string& revision, const std::string& path) {
  return fmt::format("{}/{}/resolve/{}/{}", WithoutSlash(server.endpoint),
                     UrlEscaped(repository, true), UrlEscaped(revision, false),
                     UrlEscaped(path, true));
}

tl::unexpected<Error> HubRefusal(const HttpResponse& response, std::string_view what,
                                 bool has_token) {
  const std::string_view code = response.Header("x-error-code");
  const int status = response.status;
  if (response.ending == HttpEnding::kRefused) {
    return Fail(ErrorCode::kIo, "{}: {}", what, response.problem);
  }
  if (response.ending == HttpEnding::kCut) {
    return Fail(ErrorCode::kIo, "{}: no answer from the hub: {}", what, response.problem);
  }
  if ((status == 401 || status == 403) && code == "GatedRepo") {
    return Fail(ErrorCode::kInvalidArgument,
                "{}: its owner gives it to accounts that agreed to terms on its page: agree there, "
                "and give {} token of that account (HF_TOKEN or --hf-token)",
                what, has_token ? "the" : "a");
  }
  if (status == 401 && has_token) {
    return Fail(ErrorCode::kInvalidArgument,
                "{}: the hub does not take the token (401), or there is no such model", what);
  }
  if (status == 401) {
    return Fail(ErrorCode::kInvalidArgument,
                "{}: the hub knows no such model, or shows it to some accounts alone (401): give a "
                "token with HF_TOKEN or --hf-token",
                what);
  }
  if (status == 403) {
    return Fail(
        ErrorCode::kInvalidArgument, "{}: the hub refuses access{} (403)", what,
        has_token ? " to the token's account" : " without a token (HF_TOKEN or --hf-token)");
  }
  if (status == 404) {
    const std::string_view missing = code == "RevisionNotFound" ? "revision"
                                     : code == "EntryNotFound"  ? "file"
                                                                : "model, revision or file";
    return Fail(ErrorCode::kNotFound, "{}: the hub has no such {} (404)", what, missing);
  }
  if (status == 429) {
    return Fail(ErrorCode::kIo, "{}: the hub has had too many requests (429); try again later",
                what);
  }
  return Fail(ErrorCode::kIo, "{}: the hub answers {}", what, status);
}

}  // namespace quern
