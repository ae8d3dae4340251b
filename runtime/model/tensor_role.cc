#include "runtime/model/tensor_role.h"

#include <array>
#include <charconv>

namespace quern {
namespace {

constexpr std::string_view kLayerPrefix = "blk.";

struct RoleTraits {
  std::string_view name;
  bool of_layer;
  TensorUse use;
};

constexpr std::array<RoleTraits, kTensorRoles> kTraits = {{
#define TENSOR_ROLE(role, name, of_layer, use) {name, of_layer, use},
#include "runtime/model/tensor_roles.inc"
#undef TENSOR_ROLE
}};

const RoleTraits& TraitsOf(TensorRole role) { return kTraits[static_cast<size_t>(role)]; }

}  // namespace

std::string_view NameOf(TensorRole role) { return TraitsOf(role).name; }
TensorUse UseOf(TensorRole role) { return TraitsOf(role).use; }
bool IsOfLayer(TensorRole role) { return TraitsOf(role).of_layer; }

std::string TensorName(TensorRole role, uint32_t layer) {
  if (!IsOfLayer(role)) return std::string(NameOf(role));
  return std::string(kLayerPrefix) + std::to_string(layer) + "." + std::string(NameOf(role));
}

std::optional<TensorPlace> ParseTensorName(std::string_view name) {
  TensorPlace place{};
  const bool of_layer = name.starts_with(kLayerPrefix);
  if (of_layer) {
    name.remove_prefix(kLayerPrefix.size());
    const char* end = name.data() + name.size();
    const auto [rest, error] = std::from_chars(name.data(), end, place.layer);
    if (error != std::errc() || rest == end || *rest != '.') return std::nullopt;
    name = std::string_view(rest + 1, static_cast<size_t>(end - rest - 1));
  }
  for (size_t i = 0; i < kTensorRoles; ++i) {
    if (kTraits[i].of_layer != of_layer || kTraits[i].name != name) continue;
    place.role = static_cast<TensorRole>(i);
    return place;
  }
  return std::nullopt;
}

}  // namespace quern
