#include "tools/quantize/quantizer.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstddef>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "gguf/base/printable.h"
#include "gguf/gguf_parser.h"
#include "gguf/gguf_writer.h"
#include "gguf/split_name.h"
#include "kernels/quantize.h"
#include "kernels/reference.h"
#include "runtime/machine/thread_team.h"

namespace quern {
namespace {

// Weights that are in memory at once (64 MiB as floats), and the share that a thread takes at a
// time.
constexpr uint64_t kSlabWeights = uint64_t{1} << 24;
constexpr uint64_t kShareWeights = uint64_t{1} << 15;

// Version of the block formats, which all readers of K types expect.
constexpr uint32_t kQuantizationVersion = 2;

class Quantizer {
 public:
  Quantizer(const GgufFile& source, const QuantizeOptions& options)
      : source_(source),
        options_(options),
        shape_(QuantizedModelShape::Of(source)),
        team_(options.n_threads) {}

  Result<QuantizeSummary> Run(const std::string& path) {
    if (Status status = Plan(); !status) return Propagate(status);
    SetMetadata();
    if (Status status = writer_.Open(path); !status) return Propagate(status);
    for (size_t i = 0; i < types_.size(); ++i) {
      if (Status status = WriteTensor(source_.tensors()[i], types_[i]); !status) {
        return Propagate(status);
      }
    }
    if (Status status = writer_.Finish(); !status) return Propagate(status);
    return summary_;
  }

 private:
  // Chooses all types, and refuses what cannot be read before anything is written.
  Status Plan() {
    for (const TensorInfo& tensor : source_.tensors()) {
      const GgmlType type = ChooseTensorType(*options_.recipe, options_.pure, shape_, tensor);
      if (type != tensor.type && !IsDequantizable(tensor.type)) {
        return Fail(ErrorCode::kUnsupported, "{}: tensor {} is of type {}, which cannot be read",
                    source_.name(), Quoted(tensor.name), NameOf(tensor.type));
      }
      types_.push_back(type);
      writer_.AddTensor(tensor.name, type, std::span(tensor.shape).first(tensor.n_dims));
      summary_.n_weights += tensor.n_elements();
      summary_.source_bytes += tensor.data.size();
      summary_.result_bytes += RowBytes(type, tensor.n_cols()) * tensor.n_rows();
      if (type == tensor.type) continue;
      if (TraitsOf(tensor.type).block_elements > 1) ++summary_.n_requantized;
      if (tensor.n_cols() % TraitsOf(options_.recipe->type).block_elements != 0)
        ++summary_.n_fallback;
    }
    return {};
  }

  void SetMetadata() {
    for (const MetaEntry& entry : source_.metadata()) {
      // The default alignment serves every reader; the source's might waste space.
      if (entry.key == kAlignmentKey || entry.key.starts_with("split.")) continue;
      writer_.SetValue(entry.key, entry.value);
    }
    writer_.SetUint32("general.quantization_version", kQuantizationVersion);
    writer_.SetUint32("general.file_type", options_.recipe->file_type);
  }

  Status WriteTensor(const TensorInfo& tensor, GgmlType type) {
    const uint64_t slab_rows = std::max<uint64_t>(1, kSlabWeights / tensor.n_cols());
    for (uint64_t row = 0; row < tensor.n_rows(); row += slab_rows) {
      Report(tensor, type);
      const uint64_t n_rows = std::min(slab_rows, tensor.n_rows() - row);
      const std::span<const std::byte> rows =
          tensor.data.subspan(row * RowBytes(tensor.type, tensor.n_cols()),
                              n_rows * RowBytes(tensor.type, tensor.n_cols()));
      Status status = type == tensor.type ? writer_.Write(rows)
                                          : WriteConverted(tensor, type, row, n_rows, rows);
      if (!status) return status;
      source_.DropPages(rows);
      weights_done_ += n_rows * tensor.n_cols();
    }
    Report(tensor, type);
    return {};
  }

  Status WriteConverted(const TensorInfo& tensor, GgmlType type, uint64_t first_row,
                        uint64_t n_rows, std::span<const std::byte> rows) {
    const uint64_t n_cols = tensor.n_cols();
    const uint64_t in_bytes = RowBytes(tensor.type, n_cols);
    const uint64_t out_bytes = RowBytes(type, n_cols);
    result_.resize(n_rows * out_bytes);
    const uint64_t share = std::max<uint64_t>(1, kShareWeights / n_cols);
    const float largest = LargestMagnitude(type);
    std::atomic<uint64_t> bad_row{n_rows};  // the first with a weight that the type cannot hold
    team_.ForEach((n_rows + share - 1) / share, [&](size_t part) {
      std::vector<float> weights(n_cols);
      for (uint64_t r = part * share; r < std::min(n_rows, (part + 1) * share); ++r) {
        DequantizeRow(tensor.type, rows.data() + r * in_bytes, n_cols, weights.data());
        if (!std::ranges::all_of(weights, [&](float w) { return std::abs(w) <= largest; })) {
          uint64_t seen = bad_row.load();
          while (r < seen && !bad_row.compare_exchange_weak(seen, r)) {
          }
          return;
        }
        QuantizeRow(type, weights.data(), nullptr, n_cols, result_.data() + r * out_bytes);
      }
    });
    if (bad_row < n_rows) {
      return BadWeight(tensor, type, first_row + bad_row, rows.data() + bad_row * in_bytes);
    }
    return writer_.Write(result_);
  }

  Status BadWeight(const TensorInfo& tensor, GgmlType type, uint64_t row,
                   const std::byte* data) const {
    std::vector<float> weights(tensor.n_cols());
    DequantizeRow(tensor.type, data, weights.size(), weights.data());
    const float largest = LargestMagnitude(type);
    const auto bad =
        std::ranges::find_if(weights, [&](float w) { return !(std::abs(w) <= largest); });
    return Fail(ErrorCode::kCorruptFile,
                "{}: tensor {} has {} at row {}, column {}; {} holds finite values up to {:.6g}",
                source_.name(), Quoted(tensor.name), *bad, row, bad - weights.begin(), NameOf(type),
                largest);
  }

  void Report(const TensorInfo& tensor, GgmlType type) const {
    if (!options_.progress) return;
    options_.progress({tensor.name, tensor.type, type, weights_done_, summary_.n_weights});
  }

  const GgufFile& source_;
  const QuantizeOptions& options_;
  QuantizedModelShape shape_;
  ThreadTeam team_;
  GgufWriter writer_;
  std::vector<GgmlType> types_;  // of the result, in the order of the source's tensors
  std::vector<std::byte> result_;
  uint64_t weights_done_ = 0;
  QuantizeSummary summary_;
};

/// Whether writing `path` would write over the source, one file or a split set.
bool IsPartOf(const GgufFile& source, const std::string& path) {
  const auto same = [&path](const std::string& file) {
    std::error_code ignored;  // a path that does not exist yet is not the source
    return std::filesystem::equivalent(file, path, ignored);
  };
  const std::optional<SplitName> split = ParseSplitName(source.name());
  if (!split) return same(source.name());
  for (uint32_t i = 1; i <= split->count; ++i) {
    if (same(SplitPath(split->prefix, i, split->count))) return true;
  }
  return false;
}

}  // namespace

Result<QuantizeSummary> QuantizeFile(const GgufFile& source, const std::string& path,
                                     const QuantizeOptions& options) {
  if (IsPartOf(source, path)) {
    return Fail(ErrorCode::kInvalidArgument, "{}: the output would overwrite the input", path);
  }
  return Quantizer(source, options).Run(path);
}

}  // namespace quern
