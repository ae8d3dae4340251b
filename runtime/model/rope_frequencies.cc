#include "runtime/model/rope_frequencies.h"

#include <cmath>
#include <numbers>
#include <string>

#include "gguf/base/printable.h"
#include "kernels/reference.h"
#include "runtime/model/tensor_role.h"

namespace quern {
namespace {

constexpr uint64_t kMostContext = 1 << 28;

/// Llama 3.1's rule: long wavelengths are slowed down by `factor`, short ones kept, and those
/// between blended. Source: "The Llama 3 Herd of Models" and its reference implementation's
/// apply_scaling.
double Llama3Frequency(double frequency, double factor, double low, double high, double context) {
  const double wavelength = 2 * std::numbers::pi / frequency;
  if (wavelength < context / high) return frequency;
  if (wavelength > context / low) return frequency / factor;
  const double smooth = (context / wavelength - low) / (high - low);
  return (1 - smooth) * frequency / factor + smooth * frequency;
}

/// What the file's tensor divides the frequencies by; 1 without one.
std::vector<float> ReadDivisors(HParamsReader& reader, uint32_t n_pairs) {
  std::vector<float> divisors(n_pairs, 1.0F);
  const std::string name = TensorName(TensorRole::kRopeFreqs, 0);
  const TensorInfo* tensor = reader.file().FindTensor(name);
  if (tensor == nullptr) return divisors;
  if (tensor->type != GgmlType::kF32 || tensor->n_elements() != n_pairs) {
    reader.Refuse(ErrorCode::kCorruptFile, "tensor '{}' has {} elements of {}, expected {} of F32",
                  name, tensor->n_elements(), NameOf(tensor->type), n_pairs);
    return divisors;
  }
  DequantizeRow(tensor->type, tensor->data.data(), n_pairs, divisors.data());
  for (uint32_t i = 0; i < n_pairs; ++i) {
    if (divisors[i] > 0 && std::isfinite(divisors[i])) continue;
    reader.Refuse(ErrorCode::kCorruptFile,
                  "element {} of tensor '{}' is {}, expected a positive number", i, name,
                  divisors[i]);
    break;
  }
  return divisors;
}

}  // namespace

std::vector<double> ReadRopeFrequencies(HParamsReader& reader, uint32_t n_rot) {
  const double base = reader.PositiveOr("rope.freq_base", 10000.0);
  const std::string type = reader.TextOr(reader.Key("rope.scaling.type"), "");
  // Files from before rope.scaling.* give the linear factor alone.
  const double old_factor = reader.PositiveOr("rope.scale_linear", 1.0);
  const double factor = reader.PositiveOr("rope.scaling.factor", old_factor);
  const double low = reader.PositiveOr("rope.scaling.low_freq_factor", 1.0);
  const double high = reader.PositiveOr("rope.scaling.high_freq_factor", 4.0);
  const double context = reader.CountOr("rope.scaling.original_context_length", 8192, kMostContext);
  if (!reader.status()) return {};

  const bool linear = type == "linear" || (type.empty() && factor != 1.0);
  if (!linear && !type.empty() && type != "none" && type != "llama3") {
    reader.Refuse(ErrorCode::kUnsupported, "{} is {}, expected none, linear or llama3",
                  reader.Key("rope.scaling.type"), Quoted(type));
    return {};
  }
  const uint32_t n_pairs = n_rot / 2;
  const std::vector<float> divisors = ReadDivisors(reader, n_pairs);
  // Files that have the tensor have llama3's scaling in it, whatever they say of it besides.
  const bool llama3 =
      type == "llama3" && reader.file().FindTensor(NameOf(TensorRole::kRopeFreqs)) == nullptr;
  std::vector<double> frequencies(n_pairs);
  for (uint32_t i = 0; i < n_pairs; ++i) {
    double frequency = std::pow(base, -2.0 * i / n_rot);
    if (linear) frequency /= factor;
    if (llama3) frequency = Llama3Frequency(frequency, factor, low, high, context);
    frequencies[i] = frequency / divisors[i];
  }
  return frequencies;
}

}  // namespace quern
