#include "tools/options/hub_options.h"

#include <cstdlib>
#include <initializer_list>
#include <utility>

#include "tools/hub/model_cache.h"
#include "tools/hub/pull_model.h"
#include "tools/options/transfer_progress.h"

namespace quern {
namespace {

constexpr const char* kGroup = "Models of a hub";

/// `given`, else the first of the variables that is set and not empty.
std::string OrVariable(const std::string& given, std::initializer_list<const char*> variables) {
  if (!given.empty()) return given;
  for (const char* variable : variables) {
    const char* value = std::getenv(variable);
    if (value != nullptr && *value != '\0') return value;
  }
  return {};
}

}  // namespace

void AddCacheOption(CLI::App* command, std::string* folder) {
  command
      ->add_option("--cache-dir", *folder,
                   "Folder of downloaded models (default: QUERN_CACHE, XDG_CACHE_HOME/quern or "
                   "~/.cache/quern)")
      ->type_name("FOLDER")
      ->group(kGroup);
}

Result<std::string> CacheFolder(const std::string& given) {
  if (!given.empty()) return given;
  return ModelCache::DefaultFolder();
}

void AddHubFileOption(CLI::App* command, std::string* file) {
  command
      ->add_option("--hf-file", *file,
                   "File of the repository, instead of one chosen by QUANT (also -hff)")
      ->group(kGroup);
}

void HubOptions::AddTo(CLI::App* command) {
  AddHubFileOption(command, &file_);
  command
      ->add_option("--revision", revision_,
                   "Branch, tag or commit of the repository (default: main)")
      ->group(kGroup);
  command
      ->add_option("--hf-endpoint", endpoint_,
                   "Address of the hub (default: HF_ENDPOINT, MODEL_ENDPOINT or "
                   "https://huggingface.co). SSL_CERT_FILE names certificates to trust")
      ->type_name("URL")
      ->group(kGroup);
  command
      ->add_option("--hf-token", token_,
                   "Token for the hub (default: HF_TOKEN, which other users of this machine do not "
                   "see; also -hft)")
      ->type_name("TOKEN")
      ->group(kGroup);
  AddCacheOption(command, &cache_folder_);
}

void HubOptions::AddWithNameTo(CLI::App* command) {
  CLI::Option* name =
      command
          ->add_option("--hf-repo", name_,
                       "Model of a hub, as ORG/REPO[:QUANT], which is downloaded at its first use "
                       "(QUANT: Q4_K_M, else the only one; also -hf)")
          ->type_name("NAME")
          ->group(kGroup);
  AddTo(command);
  for (const char* option : {"--hf-file", "--revision"}) {
    command->get_option(option)->needs(name);
  }
  command->add_flag("--offline", offline_, "Use what was downloaded and ask no hub")->group(kGroup);
}

Result<PullRequest> HubOptions::RequestFor(const std::string& name) const {
  Result<HubName> hub_name = ParseHubName(name);
  if (!hub_name) return Propagate(hub_name);
  Result<std::string> folder = CacheFolder(cache_folder_);
  if (!folder) return Propagate(folder);
  PullRequest request;
  request.name = *std::move(hub_name);
  request.file = file_;
  request.revision = revision_;
  request.cache_folder = *std::move(folder);
  request.offline = offline_;
  request.server.token = OrVariable(token_, {"HF_TOKEN"});
  const std::string endpoint = OrVariable(endpoint_, {"HF_ENDPOINT", "MODEL_ENDPOINT"});
  if (!endpoint.empty()) request.server.endpoint = endpoint;
  return request;
}

std::string HubOptions::reference() const {
  return file_.empty() && revision_ == "main" ? name_ : "";
}

Result<std::string> HubOptions::Find() const {
  const Result<PullRequest> request = RequestFor(name_);
  if (!request) return tl::unexpected(request.error());
  TransferProgress progress(request->name.repository());
  return FindModel(*request, progress.Reporter());
}

Result<std::string> HubOptions::Pull(const std::string& name) const {
  const Result<PullRequest> request = RequestFor(name);
  if (!request) return tl::unexpected(request.error());
  TransferProgress progress(request->name.repository());
  return PullModel(*request, progress.Reporter());
}

}  // namespace quern
