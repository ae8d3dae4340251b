// The results of `quern bench` as a Markdown table, JSON or CSV, on stdout.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "gguf/gguf_file.h"
#include "runtime/model/model.h"
#include "tools/measure/bench_runner.h"
#include "tools/measure/step_profile.h"

namespace quern {

/// One measured row.
struct BenchRow {
  int n_threads = 0;
  BenchCase test;
  std::vector<double> speeds;   ///< tokens per second of each repetition
  MachineLimits limits;         ///< of that many threads, measured beside the row
  double bound = 0;             ///< tokens per second that the limits allow
  std::vector<OpTime> profile;  ///< empty unless wanted
  size_t n_steps = 0;           ///< that the profile is of

  double Median() const;
  double Min() const;
  double Max() const;
};

/// Prints rows as they come; at Finish JSON, or load time, memory and limits.
class BenchReport {
 public:
  /// `format` is "md", "json", "jsonl" (a line of JSON for each row) or "csv".
  BenchReport(std::string format, const GgufFile& file, const Model& model, double load_seconds);

  void Add(BenchRow row);
  void Finish() const;

 private:
  void PrintRow(const BenchRow& row) const;
  nlohmann::ordered_json JsonOf(const BenchRow& row) const;

  std::string format_;
  std::string model_;
  double file_bytes_;
  double bytes_per_token_;
  double load_seconds_;
  uint64_t n_params_ = 0;
  std::vector<BenchRow> rows_;
};

}  // namespace quern
