#include "tools/bench_report.h"

#include <fmt/format.h>
#include <sys/resource.h>

#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <utility>

namespace quern {
namespace {

constexpr double kGiga = 1e9;

/// Bytes of memory that this process has had at most.
int64_t PeakRss() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return int64_t{usage.ru_maxrss} * 1024;
}

}  // namespace

double BenchRow::Median() const {
  std::vector<double> sorted = speeds;
  std::sort(sorted.begin(), sorted.end());
  const size_t middle = sorted.size() / 2;
  return sorted.size() % 2 == 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

double BenchRow::Min() const { return *std::min_element(speeds.begin(), speeds.end()); }
double BenchRow::Max() const { return *std::max_element(speeds.begin(), speeds.end()); }

BenchReport::BenchReport(std::string format, const GgufFile& file, const Model& model,
                         double load_seconds)
    : format_(std::move(format)),
      model_(model.hparams().name.empty() ? file.name() : model.hparams().name),
      file_bytes_(static_cast<double>(file.file_bytes())),
      bytes_per_token_(static_cast<double>(model.bytes_per_token())),
      load_seconds_(load_seconds) {
  for (const TensorInfo& tensor : file.tensors()) n_params_ += tensor.n_elements();
  if (format_ == "md") {
    fmt::print("| {:<24} | {:>9} | {:>8} | {:>7} | {:>14} | {:>9} | {:>19} | {:>9} |\n", "model",
               "size, MB", "params", "threads", "test", "tok/s", "min – max", "weights");
    fmt::print(
        "| {0:-<24} | {0:->8}: | {0:->7}: | {0:->6}: | {0:->13}: | {0:->8}: | {0:->18}: | {0:->8}: "
        "|\n",
        "");
  } else if (format_ == "csv") {
    fmt::print("model,bytes,params,threads,test,median_tok_s,min_tok_s,max_tok_s,weight_bytes_s\n");
  }
  std::fflush(stdout);
}

void BenchReport::SetThreads(int n_threads, double read_bandwidth) {
  n_threads_ = n_threads;
  read_bandwidth_ = read_bandwidth;
}

void BenchReport::Add(const std::string& test, bool reads_all_weights,
                      const std::vector<double>& speeds) {
  rows_.push_back(
      {n_threads_, test, speeds, reads_all_weights ? bytes_per_token_ : 0, read_bandwidth_});
  PrintRow(rows_.back());
}

void BenchReport::PrintRow(const BenchRow& row) const {
  if (format_ == "md") {
    const std::string rate = row.bytes_per_token > 0
                                 ? fmt::format("{:.1f} GB/s", row.WeightRate() / kGiga)
                                 : std::string();
    fmt::print("| {:<24} | {:>9.1f} | {:>6.1f} M | {:>7} | {:>14} | {:>9.2f} | {:>19} | {:>9} |\n",
               model_, file_bytes_ * 1e-6, static_cast<double>(n_params_) * 1e-6, row.n_threads,
               row.test, row.Median(), fmt::format("{:.2f} – {:.2f}", row.Min(), row.Max()), rate);
  } else if (format_ == "csv") {
    std::string quoted = model_;
    for (size_t i = 0; (i = quoted.find('"', i)) != std::string::npos; i += 2)
      quoted.insert(i, 1, '"');
    fmt::print("\"{}\",{:.0f},{},{},{},{:.3f},{:.3f},{:.3f},{:.0f}\n", quoted, file_bytes_,
               n_params_, row.n_threads, row.test, row.Median(), row.Min(), row.Max(),
               row.WeightRate());
  }
  std::fflush(stdout);
}

void BenchReport::Finish() {
  if (format_ == "json") {
    nlohmann::ordered_json rows = nlohmann::json::array();
    for (const BenchRow& row : rows_) {
      rows.push_back({{"model", model_},
                      {"bytes", file_bytes_},
                      {"params", n_params_},
                      {"threads", row.n_threads},
                      {"test", row.test},
                      {"median_tokens_per_second", row.Median()},
                      {"tokens_per_second", row.speeds},
                      {"weight_bytes_per_second", row.WeightRate()},
                      {"read_bytes_per_second", row.read_bandwidth},
                      {"load_seconds", load_seconds_},
                      {"peak_rss_bytes", PeakRss()}});
    }
    fmt::print("{}\n", rows.dump(2, ' ', false, nlohmann::json::error_handler_t::replace));
  } else if (format_ == "md") {
    std::string speeds;
    int last_threads = 0;
    for (const BenchRow& row : rows_) {
      if (row.n_threads == last_threads) continue;
      last_threads = row.n_threads;
      speeds +=
          fmt::format("{}{:.1f} GB/s with {} thread{}", speeds.empty() ? "" : ", ",
                      row.read_bandwidth / kGiga, row.n_threads, row.n_threads == 1 ? "" : "s");
    }
    fmt::print(
        "\nLoaded in {:.1f} s; at most {:.2f} GB of memory in use. weights: read for each token; "
        "this "
        "machine streams them at {}.\n",
        load_seconds_, static_cast<double>(PeakRss()) / kGiga, speeds);
  }
}

}  // namespace quern
