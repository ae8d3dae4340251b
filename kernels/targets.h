// The SIMD targets of this build and machine, by name, and the choice among them.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "gguf/base/result.h"

namespace quern {

/// Targets that are compiled in and run on this CPU, best first ("AVX3_ZEN4", "AVX2", ...,
/// "EMU128").
std::vector<std::string> SupportedTargets();

/// The target that kernels run on now.
std::string ChosenTarget();

/// Makes all later kernel calls of the process use `name`; call it before any threads run kernels.
/// Errors: kInvalidArgument with the supported names when `name` is not one of them.
Status ForceTarget(std::string_view name);

/// ForceTarget with what the environment variable QUERN_TARGET names, if it does.
Status ForceTargetOfEnvironment();

/// Undoes ForceTarget.
void ChooseBestTarget();

}  // namespace quern
