// NumPy's .npy files of float32 matrices, read and written row by row: how reference logits travel.
#pragma once

#include <cstddef>
#include <cstdint>
#include <fstream>
#include <span>
#include <string>

#include "gguf/base/output_file.h"
#include "gguf/base/result.h"

namespace quern {

/// A .npy file of shape [rows, cols], dtype '<f4', C order, read in order.
class NpyReader {
 public:
  /// Checks the header and that the file has exactly the bytes that the shape needs.
  /// Errors: kNotFound, kCorruptFile for what is not .npy or is cut short, kUnsupported for another
  /// dtype, order or number of dimensions.
  static Result<NpyReader> Open(const std::string& path);

  size_t rows() const { return rows_; }
  size_t cols() const { return cols_; }

  /// The next rows, as many as `out` holds (a multiple of cols()).
  Status Read(std::span<float> out);

 private:
  NpyReader() = default;
  std::string path_;
  std::ifstream stream_;
  size_t rows_ = 0;
  size_t cols_ = 0;
};

/// Writes such a file. The number of rows is fixed at Create. The file appears, or takes the place
/// of an older one, at Finish.
class NpyWriter {
 public:
  static Result<NpyWriter> Create(const std::string& path, size_t rows, size_t cols);

  /// Appends whole rows.
  Status Write(std::span<const float> values);
  /// Errors when fewer or more rows were written than announced, or the disk refused them.
  Status Finish();

 private:
  NpyWriter(std::string path, OutputFile file, uint64_t n_values)
      : path_(std::move(path)), file_(std::move(file)), missing_values_(n_values) {}

  std::string path_;
  OutputFile file_;
  uint64_t missing_values_;
};

}  // namespace quern
