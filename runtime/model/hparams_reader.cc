#include "runtime/model/hparams_reader.h"

#include <cmath>
#include <utility>

namespace quern {

uint32_t HParamsReader::Count(std::string_view suffix, uint64_t most) {
  return Checked(suffix, file_.GetUint(Key(suffix)), most);
}

uint32_t HParamsReader::CountOr(std::string_view suffix, uint64_t fallback, uint64_t most) {
  return Checked(suffix, file_.GetUintOr(Key(suffix), fallback), most);
}

double HParamsReader::PositiveOr(std::string_view suffix, double fallback) {
  Result<double> value = file_.GetFloatOr(Key(suffix), fallback);
  if (!value) return Stick(Propagate(value));
  if (*value > 0 && std::isfinite(*value)) return *value;
  Refuse(ErrorCode::kCorruptFile, "{} is {}, expected a positive number", Key(suffix), *value);
  return 0;
}

std::string HParamsReader::TextOr(std::string_view key, std::string_view fallback) {
  Result<std::string_view> value = file_.GetStringOr(key, fallback);
  if (!value) Stick(Propagate(value));
  return value ? std::string(*value) : std::string();
}

uint32_t HParamsReader::Stick(tl::unexpected<Error> error) {
  if (status_) status_ = std::move(error);
  return 0;
}

uint32_t HParamsReader::Checked(std::string_view suffix, Result<uint64_t> value, uint64_t most) {
  if (!value) return Stick(Propagate(value));
  if (*value >= 1 && *value <= most) return static_cast<uint32_t>(*value);
  Refuse(ErrorCode::kCorruptFile, "{} is {}, expected 1 to {}", Key(suffix), *value, most);
  return 0;
}

}  // namespace quern
