#include "kernels/targets.h"

#include <fmt/ranges.h>

#include <cstdint>
#include <cstdlib>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/targets.cc"
#include "hwy/foreach_target.h"  // IWYU pragma: keep
// After foreach_target.
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace quern::HWY_NAMESPACE {

int64_t ThisTarget() { return HWY_TARGET; }

}  // namespace quern::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace quern {
namespace {

HWY_EXPORT(ThisTarget);

/// Bits of the targets that are compiled in and run here; the lowest bit is the best target.
/// Highway is asked once, since its answer also undoes the choice of a target.
int64_t SupportedMask() {
  static const int64_t kMask = hwy::SupportedTargets() & HWY_TARGETS;
  return kMask;
}

}  // namespace

std::vector<std::string> SupportedTargets() {
  std::vector<std::string> names;
  for (int64_t left = SupportedMask(); left != 0; left &= left - 1) {
    names.emplace_back(hwy::TargetName(left & -left));
  }
  return names;
}

std::string ChosenTarget() { return hwy::TargetName(HWY_DYNAMIC_DISPATCH(ThisTarget)()); }

Status ForceTarget(std::string_view name) {
  for (int64_t left = SupportedMask(); left != 0; left &= left - 1) {
    const int64_t target = left & -left;
    if (name == hwy::TargetName(target)) {
      hwy::GetChosenTarget().Update(target);
      return {};
    }
  }
  return Fail(ErrorCode::kInvalidArgument, "no SIMD target '{}' on this machine; there are {}",
              name, fmt::join(SupportedTargets(), ", "));
}

Status ForceTargetOfEnvironment() {
  const char* name = std::getenv("QUERN_TARGET");
  if (name == nullptr || *name == '\0') return {};
  Status status = ForceTarget(name);
  if (!status) status.error().message.insert(0, "QUERN_TARGET: ");
  return status;
}

void ChooseBestTarget() { hwy::GetChosenTarget().Update(SupportedMask()); }

}  // namespace quern
#endif  // HWY_ONCE
