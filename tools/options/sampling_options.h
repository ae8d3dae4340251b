// The command line's sampling parameters, with llama.cpp's names.
#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "gguf/base/result.h"
#include "runtime/engine/sampler.h"

namespace quern {

class SamplingOptions {
 public:
  /// `defaults`: what holds for parameters that are not given, for --help.
  void AddTo(CLI::App* command, const std::string& defaults);

  /// `params` with what is given over it; its seed is left as it is. Errors: kInvalidArgument.
  Result<SamplingParams> Over(SamplingParams params) const;

  /// None: another each time.
  std::optional<uint64_t> seed() const {
    return seed_ >= 0 ? std::optional(static_cast<uint64_t>(seed_)) : std::nullopt;
  }

 private:
  std::optional<float> temperature_;
  std::optional<int> top_k_;
  std::optional<float> top_p_;
  std::optional<float> min_p_;
  std::optional<float> typical_p_;
  std::optional<int> repeat_last_n_;
  std::optional<float> repeat_penalty_;
  std::optional<float> presence_penalty_;
  std::optional<float> frequency_penalty_;
  std::vector<std::string> logit_bias_;
  int64_t seed_ = -1;
};

/// Reads "TOKEN+BIAS" or "TOKEN-BIAS", such as "15+1.5" and "15-inf". Errors: kInvalidArgument.
Result<std::pair<Token, float>> ParseLogitBias(const std::string& text);

}  // namespace quern
