#include "tools/commands/inspect.h"

#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <memory>
#include <optional>

#include "runtime/engine/engine.h"
#include "runtime/model/model.h"
#include "tools/cli/commands.h"
#include "tools/options/model_argument.h"
#include "tools/options/shared_options.h"

namespace quern {
namespace {

Result<MemoryNeed> EstimateNeed(const GgufFile& file, std::optional<size_t> asked_ctx,
                                KvTypes kv_types) {
  Result<HParams> hparams = HParams::Load(file);
  if (!hparams) return Propagate(hparams);
  if (Status status = Model::CheckTensors(file, *hparams); !status) return Propagate(status);
  const size_t n_ctx = ContextFor(*hparams, asked_ctx);
  const MemoryEstimate estimate =
      EstimateMemory(file, *hparams, n_ctx, kv_types, EngineOptions().chunk_tokens);
  return MemoryNeed{n_ctx, kv_types, *std::move(hparams), estimate};
}

struct InspectOptions {
  ModelArgument model;
  std::optional<size_t> n_ctx;
  CacheTypeOptions cache_type;
  bool json = false;
  bool full = false;
};

Result<int> RunInspect(const InspectOptions& options) {
  Result<GgufFile> file = options.model.Open();
  if (!file) return Propagate(file);
  const Inspection inspection = Inspect(*file, options.n_ctx, options.cache_type.types());
  const bool bold = isatty(STDOUT_FILENO) != 0 && std::getenv("NO_COLOR") == nullptr;
  fmt::print("{}", options.json ? InspectionJson(*file, inspection, options.full)
                                : InspectionText(*file, inspection, {options.full, bold}));
  return 0;
}

}  // namespace

Inspection Inspect(const GgufFile& file, std::optional<size_t> n_ctx, KvTypes kv_types) {
  Inspection inspection{{}, {}, EstimateNeed(file, n_ctx, kv_types)};
  std::map<GgmlType, TypeShare> shares;
  for (const TensorInfo& tensor : file.tensors()) {
    TypeShare& share = shares[tensor.type];
    share.type = tensor.type;
    for (TypeShare* sum : {&share, &inspection.total}) {
      ++sum->n_tensors;
      sum->n_elements += tensor.n_elements();
      sum->n_bytes += tensor.data.size();
    }
  }
  for (const auto& [type, share] : shares) inspection.types.push_back(share);
  std::sort(inspection.types.begin(), inspection.types.end(),
            [](const TypeShare& a, const TypeShare& b) { return a.n_bytes > b.n_bytes; });
  return inspection;
}

void AddInspectCommand(Commands& commands) {
  auto options = std::make_shared<InspectOptions>();
  CLI::App* command =
      commands.Add("inspect", "Show what is in a GGUF file and the memory its model needs",
                   [options] { return RunInspect(*options); });
  options->model.AddTo(command);
  AddContextOption(command, "Positions to estimate the memory for", &options->n_ctx);
  options->cache_type.AddTo(command);
  command->add_flag("--json", options->json, "Print JSON");
  command->add_flag("--full", options->full, "Print whole arrays and strings");
}

}  // namespace quern
