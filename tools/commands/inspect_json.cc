// `quern inspect` for programs: one JSON object.
#include <algorithm>
#include <nlohmann/json.hpp>
#include <type_traits>

#include "gguf/base/format_number.h"
#include "kernels/matmul.h"
#include "runtime/model/architecture.h"
#include "tools/commands/inspect.h"
#include "tools/options/shared_options.h"

namespace quern {
namespace {

using Json = nlohmann::ordered_json;  // keys stay in the order of the file

// Longer arrays are the vocabulary's, which few readers of this want: they get the first elements.
constexpr size_t kMaxElements = 64;
constexpr size_t kFirstElements = 16;

Json ArrayJson(const MetaArray& array, size_t max_elements);

Json ElementJson(const MetaArray& array, size_t i, size_t max_elements) {
  if (const auto* strings = std::get_if<std::vector<std::string_view>>(&array.elements)) {
    return (*strings)[i];
  }
  if (const auto* arrays = std::get_if<std::vector<MetaArray>>(&array.elements)) {
    return ArrayJson((*arrays)[i], max_elements);
  }
  return std::visit([](auto number) { return Json(number); }, array.number(i));
}

Json ArrayJson(const MetaArray& array, size_t max_elements) {
  Json json = Json::array();
  const size_t count = std::min(array.size(), max_elements);
  for (size_t i = 0; i < count; ++i) json.push_back(ElementJson(array, i, max_elements));
  return json;
}

/// {"type", "value"}; of an array also "element_type" and "count", and "first" for "value" where it
/// was cut.
Json ValueJson(const MetaValue& value, bool full) {
  Json json{{"type", NameOf(value.type)}};
  std::visit(
      [&](const auto& held) {
        if constexpr (std::is_same_v<std::decay_t<decltype(held)>, MetaArray>) {
          const bool whole = full || held.size() <= kMaxElements;
          json["element_type"] = NameOf(held.element_type);
          json["count"] = held.size();
          json[whole ? "value" : "first"] = ArrayJson(held, full    ? held.size()
                                                            : whole ? kMaxElements
                                                                    : kFirstElements);
        } else {
          json["value"] = held;
        }
      },
      value.value);
  return json;
}

Json TensorJson(const TensorInfo& tensor) {
  const std::vector<uint64_t> shape(tensor.shape.begin(), tensor.shape.begin() + tensor.n_dims);
  return {{"name", tensor.name},
          {"type", NameOf(tensor.type)},
          {"shape", shape},
          {"bytes", tensor.data.size()},
          {"split", tensor.split}};
}

Json ShareJson(const TypeShare& share) {
  return {{"tensors", share.n_tensors},
          {"parameters", share.n_elements},
          {"bytes", share.n_bytes},
          {"bits_per_weight", BitsPerWeight(share.n_bytes, share.n_elements)}};
}

/// What is the layers' own is the first layer's.
Json ModelJson(const HParams& hparams) {
  const LayerSpec& layer = hparams.layers.front();
  return {{"architecture", hparams.architecture->name},
          {"n_vocab", hparams.n_vocab},
          {"n_ctx_train", hparams.n_ctx_train},
          {"n_embd", hparams.n_embd},
          {"n_layer", hparams.n_layer()},
          {"n_ff", layer.ffn.n_ff},
          {"n_head", layer.attention.n_head},
          {"n_head_kv", layer.attention.n_head_kv},
          {"head_dim", layer.attention.k_dim}};
}

Json MemoryJson(const MemoryNeed& need) {
  return {{"n_ctx", need.n_ctx},
          {"cache_type_k", NameOf(need.kv_types.k)},
          {"cache_type_v", NameOf(need.kv_types.v)},
          {"weights", need.estimate.weights},
          {"kv_cache", need.estimate.kv_cache},
          {"scratch", need.estimate.scratch},
          {"total", need.estimate.total()}};
}

}  // namespace

std::string InspectionJson(const GgufFile& file, const Inspection& inspection, bool full) {
  Json json{{"file", file.name()},           {"version", file.version()},
            {"alignment", file.alignment()}, {"bytes", file.file_bytes()},
            {"metadata", Json::object()},    {"tensors", Json::array()},
            {"types", Json::object()},       {"total", ShareJson(inspection.total)}};
  for (const MetaEntry& entry : file.metadata()) {
    json["metadata"][std::string(entry.key)] = ValueJson(entry.value, full);
  }
  for (const TensorInfo& tensor : file.tensors()) json["tensors"].push_back(TensorJson(tensor));
  for (const TypeShare& share : inspection.types) {
    Json& type = json["types"][std::string(NameOf(share.type))] = ShareJson(share);
    type["runnable"] = IsRunnable(share.type);
  }
  if (inspection.memory) {
    json["model"] = ModelJson(inspection.memory->hparams);
    json["memory"] = MemoryJson(*inspection.memory);
  } else {
    json["problem"] = inspection.memory.error().message;
  }
  return json.dump(2, ' ', /*ensure_ascii=*/false, Json::error_handler_t::replace) + "\n";
}

}  // namespace quern
