// Several models for one server: a TOML file of models and routers, or a folder of GGUF files.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "gguf/base/result.h"
#include "server/api/router.h"
#include "tools/serve/served_model_options.h"

namespace quern {

struct ModelList {
  std::vector<ServedModelOptions> models;  ///< each with its id
  std::vector<Router> routers;
  std::string default_name;  ///< the model or router of requests that name none; empty: the first
};

/// A section [models.NAME] has `path` (relative to the file's folder) or `hub`, `aliases`,
/// `preload`, and the long options of `quern serve` for a model; what it does not set is as in
/// `base`. A section [routers.NAME] has `default`, `fallback` and [[routers.NAME.rules]] with
/// `model` and conditions (RouteRule); `default` names what answers requests that name no model.
/// Dashes and underscores in keys are the same. Errors: those of reading; kInvalidArgument naming
/// file and line.
Result<ModelList> ReadModelsFile(const std::string& path, const ServedModelOptions& base);
/// The same from the file's `text`.
Result<ModelList> ParseModels(std::string_view text, const std::string& path,
                              const ServedModelOptions& base);

/// Every *.gguf in `folder`, by its name without that; split sets are one. Errors: kIo; kNotFound
/// when there is none.
Result<ModelList> ListModelsFolder(const std::string& folder, const ServedModelOptions& base);

}  // namespace quern
