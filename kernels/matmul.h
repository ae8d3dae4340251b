// Matrix products over packed weights: the one operation that decides the speed of prefill and
// decode.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "gguf/ggml_type.h"

namespace quern {

/// Rows that a packed matrix interleaves. Lane = row, so a product needs no horizontal sum, and 64
/// packed bytes are one 512-bit, two 256-bit or four 128-bit registers: one layout serves every
/// target.
inline constexpr size_t kRowGroup = 16;

/// How a product takes its activations: quantized weights as Q8 rows, float weights as floats.
enum class ActivationKind : uint8_t { kF32, kQ8 };

/// Types that the kernels run, in the order of quant_types.inc.
std::span<const GgmlType> RunnableTypes();
bool IsRunnable(GgmlType type);
ActivationKind ActivationKindOf(GgmlType type);

/// Bytes of one packed group of kRowGroup rows: exactly kRowGroup rows of the GGUF layout.
size_t PackedGroupBytes(GgmlType type, size_t n_cols);

/// Interleaves `n_rows` (1 to kRowGroup) consecutive GGUF rows; rows that are missing become zeros.
/// `packed` is 64-byte aligned and holds PackedGroupBytes.
void PackGroup(GgmlType type, size_t n_cols, size_t n_rows, const std::byte* rows,
               std::byte* packed);

/// Bytes of one activation row of this kind, a multiple of 64.
size_t ActivationRowBytes(ActivationKind kind, size_t n_cols);

/// Writes one activation row. kF32 copies. kQ8 rounds blocks of 32 to int8 with a float scale of
/// max|x|/127 each, and keeps the sum of every 16, which weights with an offset need. A block with
/// an infinity or NaN makes NaN of its products.
void PrepareActivations(ActivationKind kind, const float* x, size_t n_cols, std::byte* row);

/// The same for the columns [first_col, first_col + n_cols) of a row, whose values are at `x`; for
/// kQ8 multiples of 32. Columns side by side make the row that is made at once, bit for bit.
void PrepareActivationColumns(ActivationKind kind, const float* x, size_t first_col, size_t n_cols,
                              std::byte* row);

/// How a weight matrix lies in memory.
enum class WeightLayout : uint8_t {
  kInterleaved,  ///< groups of kRowGroup rows as PackGroup writes them, 64-byte aligned: fastest
  kRows,         ///< as in a GGUF file, and interleaved block by block whenever it is read
};

/// A weight matrix as the kernels read it. What they compute does not depend on its layout.
struct WeightMatrix {
  GgmlType type = GgmlType::kF32;
  WeightLayout layout = WeightLayout::kInterleaved;
  size_t n_rows = 0;
  size_t n_cols = 0;
  const std::byte* data = nullptr;

  size_t n_groups() const { return (n_rows + kRowGroup - 1) / kRowGroup; }
  /// Rows that fill the last group up count only where they are there.
  size_t n_bytes() const {
    return (layout == WeightLayout::kInterleaved ? n_groups() * kRowGroup : n_rows) *
           RowBytes(type, n_cols);
  }
};

/// Dequantizes row `row` to `n_cols` floats: the embedding look-up.
void DequantizeRow(const WeightMatrix& w, size_t row, float* out);

/// out[t * out_stride + row] (+)= factors[t] * sum over k of w[row][k] * x[t][k], for the rows of
/// groups [group_begin, group_end).
struct MatMulArgs {
  WeightMatrix w;
  size_t group_begin = 0;
  size_t group_end = 0;
  const std::byte* x = nullptr;  ///< activation rows of ActivationKindOf(w.type), 64-byte aligned
  size_t x_stride = 0;           ///< bytes from one activation row to the next
  size_t n_tokens = 0;
  const float* factors = nullptr;  ///< null: 1
  float* out = nullptr;
  size_t out_stride = 0;    ///< floats
  bool accumulate = false;  ///< adds to `out` (a residual) instead of overwriting it
};

/// Batch invariance: an output depends on its weight row and its activation row alone, bit for bit.
/// Every path adds the blocks of K in order with the same operations, whatever n_tokens and the
/// range of groups. No allocation, no threads; callers split [0, n_groups()) among theirs.
void MatMul(const MatMulArgs& args);

}  // namespace quern
