#include "tools/measure/bench_report.h"

#include <fmt/format.h>
#include <sys/resource.h>

#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <utility>

#include "gguf/base/format_number.h"
#include "tools/measure/statistics.h"

namespace quern {
namespace {

constexpr double kGiga = 1e9;

/// Bytes of memory that this process has had at most.
int64_t PeakRss() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return int64_t{usage.ru_maxrss} * 1024;
}

std::string Text(const nlohmann::ordered_json& json, int indent) {
  return json.dump(indent, ' ', false, nlohmann::json::error_handler_t::replace);
}

}  // namespace

double BenchRow::Median() const { return MedianOf(speeds); }

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
    fmt::print("| {:<24} | {:>9} | {:>8} | {:>7} | {:>16} | {:>9} | {:>19} | {:>8} | {:>5} |\n",
               "model", "size, MB", "params", "threads", "test", "tok/s", "min – max", "limit",
               "of it");
    fmt::print(
        "| {0:-<24} | {0:->8}: | {0:->7}: | {0:->6}: | {0:->15}: | {0:->8}: | {0:->18}: | {0:->7}: "
        "| {0:->4}: |\n",
        "");
  } else if (format_ == "csv") {
    fmt::print(
        "model,bytes,params,threads,test,median_tok_s,min_tok_s,max_tok_s,limit_tok_s,read_bytes_s,"
        "dot_ops_s\n");
  }
  std::fflush(stdout);
}

void BenchReport::Add(BenchRow row) {
  rows_.push_back(std::move(row));
  PrintRow(rows_.back());
}

void BenchReport::PrintRow(const BenchRow& row) const {
  if (format_ == "md") {
    fmt::print(
        "| {:<24} | {:>9.1f} | {:>6.1f} M | {:>7} | {:>16} | {:>9.2f} | {:>19} | {:>8.2f} | "
        "{:>4.0f}% |\n",
        model_, file_bytes_ * 1e-6, static_cast<double>(n_params_) * 1e-6, row.n_threads,
        row.test.Name(), row.Median(), fmt::format("{:.2f} – {:.2f}", row.Min(), row.Max()),
        row.bound, 100 * row.Median() / row.bound);
  } else if (format_ == "csv") {
    std::string quoted = model_;
    for (size_t i = 0; (i = quoted.find('"', i)) != std::string::npos; i += 2)
      quoted.insert(i, 1, '"');
    fmt::print("\"{}\",{:.0f},{},{},{},{:.3f},{:.3f},{:.3f},{:.3f},{:.0f},{:.0f}\n", quoted,
               file_bytes_, n_params_, row.n_threads, row.test.Name(), row.Median(), row.Min(),
               row.Max(), row.bound, row.limits.read_bytes_per_second, row.limits.ops_per_second);
  } else if (format_ == "jsonl") {
    fmt::print("{}\n", Text(JsonOf(row), -1));
  }
  std::fflush(stdout);
}

void BenchReport::Finish() const {
  if (format_ == "json") {
    nlohmann::ordered_json rows = nlohmann::json::array();
    for (const BenchRow& row : rows_) rows.push_back(JsonOf(row));
    fmt::print("{}\n", Text(rows, 2));
  }
  if (format_ != "md") return;
  fmt::print("\nLoaded in {:.1f} s; at most {:.2f} GB of memory in use.\n", load_seconds_,
             static_cast<double>(PeakRss()) / kGiga);
  for (const BenchRow& row : rows_) {
    fmt::print(
        "limit of {} with {}: reading weights at {:.1f} GB/s, multiplying bytes at {:.0f} "
        "Gop/s\n",
        row.test.Name(), Counted(static_cast<uint64_t>(row.n_threads), "thread"),
        row.limits.read_bytes_per_second / kGiga, row.limits.ops_per_second / kGiga);
  }
  for (const BenchRow& row : rows_) {
    if (row.profile.empty()) continue;
    fmt::print("\n{} with {}, as the first one spends its time:\n{}", row.test.Name(),
               Counted(static_cast<uint64_t>(row.n_threads), "thread"),
               ProfileText(row.profile, row.n_steps));
  }
}

nlohmann::ordered_json BenchReport::JsonOf(const BenchRow& row) const {
  // Where tokens share the weights that are read, their rate says nothing.
  const bool reads_all = !row.test.is_prompt && row.test.n_seqs == 1;
  nlohmann::ordered_json json = {
      {"model", model_},
      {"bytes", file_bytes_},
      {"params", n_params_},
      {"threads", row.n_threads},
      {"test", row.test.Name()},
      {"sequences", row.test.n_seqs},
      {"median_tokens_per_second", row.Median()},
      {"tokens_per_second", row.speeds},
      {"limit_tokens_per_second", row.bound},
      {"weight_bytes_per_second", reads_all ? row.Median() * bytes_per_token_ : 0},
      {"read_bytes_per_second", row.limits.read_bytes_per_second},
      {"dot_ops_per_second", row.limits.ops_per_second},
      {"load_seconds", load_seconds_},
      {"peak_rss_bytes", PeakRss()}};
  for (const OpTime& time : row.profile) {
    json["profile"].push_back(
        {{"operation", NameOf(time.op)},
         {"seconds_per_step", time.seconds / static_cast<double>(row.n_steps)},
         {"count", time.count}});
  }
  return json;
}

}  // namespace quern
