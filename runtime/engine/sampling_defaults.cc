#include "runtime/engine/sampling_defaults.h"

#include <limits>
#include <string>
#include <string_view>
#include <utility>
#include <variant>

namespace quern {
namespace {

/// Reads keys into parameters; the first failure sticks.
class Reader {
 public:
  explicit Reader(const GgufFile& file) : file_(file) {}

  void Read(std::string_view name, float& param) {
    const std::string key = Key(name);
    if (!status_ || file_.Find(key) == nullptr) return;
    Result<double> value = file_.GetFloat(key);
    if (value) {
      param = static_cast<float>(*value);
    } else {
      status_ = Propagate(value);
    }
  }

  /// Files hold whole numbers as any signed or unsigned type.
  void Read(std::string_view name, int& param) {
    const std::string key = Key(name);
    const MetaValue* found = status_ ? file_.Find(key) : nullptr;
    if (found == nullptr) return;
    constexpr int kMax = std::numeric_limits<int>::max();
    if (const auto* natural = std::get_if<uint64_t>(&found->value); natural && *natural <= kMax) {
      param = static_cast<int>(*natural);
    } else if (const auto* whole = std::get_if<int64_t>(&found->value);
               whole && std::in_range<int>(*whole)) {
      param = static_cast<int>(*whole);
    } else {
      status_ = Fail(ErrorCode::kCorruptFile, "{}: '{}' is no 32-bit integer", file_.name(), key);
    }
  }

  Status status() const { return status_; }

 private:
  static std::string Key(std::string_view name) {
    return std::string("general.sampling.").append(name);
  }

  const GgufFile& file_;
  Status status_;
};

}  // namespace

Result<SamplingParams> RecommendedSampling(const GgufFile& file) {
  SamplingParams params;
  Reader reader(file);
  reader.Read("temp", params.temperature);
  reader.Read("top_k", params.top_k);
  reader.Read("top_p", params.top_p);
  reader.Read("min_p", params.min_p);
  reader.Read("penalty_repeat", params.repeat_penalty);
  reader.Read("penalty_last_n", params.repeat_last_n);
  if (Status status = reader.status(); !status) return Propagate(status);
  if (Status status = params.Validate(); !status) {
    return Fail(ErrorCode::kCorruptFile, "{}: general.sampling: {}", file.name(),
                status.error().message);
  }
  return params;
}

}  // namespace quern
