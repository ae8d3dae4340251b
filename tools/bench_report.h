// The results of `quern bench` as a Markdown table, JSON or CSV, on stdout.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "gguf/gguf_file.h"
#include "runtime/model.h"

namespace quern {

/// One measured row.
struct BenchRow {
  int n_threads = 0;
  std::string test;            ///< "pp512", "tg128 @ d4096"
  std::vector<double> speeds;  ///< tokens per second of each repetition
  double bytes_per_token = 0;  ///< weights read for each token; 0 where tokens share them
  double read_bandwidth = 0;   ///< bytes per second that this many threads can read

  double Median() const;
  double Min() const;
  double Max() const;
  /// Bytes of weights read per second; 0 where tokens share them.
  double WeightRate() const { return Median() * bytes_per_token; }
};

/// Prints rows as they come; at Finish JSON, or load time, memory and bandwidth.
class BenchReport {
 public:
  /// `format` is "md", "json" or "csv".
  BenchReport(std::string format, const GgufFile& file, const Model& model, double load_seconds);

  /// Rows from here on ran with `n_threads`, which read `read_bandwidth` bytes per second from
  /// memory.
  void SetThreads(int n_threads, double read_bandwidth);
  void Add(const std::string& test, bool reads_all_weights, const std::vector<double>& speeds);
  void Finish();

 private:
  void PrintRow(const BenchRow& row) const;

  std::string format_;
  std::string model_;
  double file_bytes_;
  double bytes_per_token_;
  double load_seconds_;
  uint64_t n_params_ = 0;
  int n_threads_ = 0;
  double read_bandwidth_ = 0;
  std::vector<BenchRow> rows_;
};

}  // namespace quern
