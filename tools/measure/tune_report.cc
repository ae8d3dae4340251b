#include "tools/measure/tune_report.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <span>
#include <string_view>
#include <vector>

#include "gguf/base/format_number.h"
#include "tools/measure/statistics.h"
#include "tools/terminal/text_table.h"

namespace quern {
namespace {

/// Seconds of prompt that a server's step takes at most, about; ServeOptions::Finish says why.
constexpr double kServerStepSeconds = 1;

std::string Percent(double share) { return fmt::format("{:.1f}%", 100 * share); }

std::string TestName(const BenchCase& test) {
  if (test.is_prompt) return fmt::format("prefill of {}", test.n_tokens);
  if (test.n_seqs == 1) return fmt::format("decode of {}", test.n_tokens);
  return fmt::format("decode of {} by {}", test.n_tokens, test.n_seqs);
}

void AddRow(const TuneRow& row, TextTable* table) {
  const auto [least, most] = std::minmax_element(row.speeds.begin(), row.speeds.end());
  table->AddRow({TestName(row.test), std::to_string(row.n_threads),
                 fmt::format("{:.2f}", row.Median()), fmt::format("{:.2f} – {:.2f}", *least, *most),
                 "±" + Percent(row.Noise()), std::to_string(row.speeds.size())});
}

/// Rows in the order of the table.
std::vector<const TuneRow*> RowsOf(const TuneResult& result) {
  std::vector<const TuneRow*> rows;
  for (TuneRow ThreadRows::*kind : {&ThreadRows::prompt, &ThreadRows::answer}) {
    for (const auto* group : {&result.by_threads, &result.slow}) {
      for (const ThreadRows& of_threads : *group) rows.push_back(&(of_threads.*kind));
    }
  }
  for (const auto* group : {&result.by_batch_size, &result.by_n_parallel}) {
    for (const TuneRow& row : *group) rows.push_back(&row);
  }
  return rows;
}

/// "5.2% ±1.0% longer", of the time that a setting takes.
std::string Longer(const TuneExcess& excess) {
  return fmt::format("{} ±{} {}", Percent(std::abs(excess.share)), Percent(excess.error),
                     excess.share < 0 ? "shorter" : "longer");
}

/// Why the choice was made. `preference` says what is good about a small setting.
std::string Reason(std::span<const TuneSeries> all, const TuneChoice& choice,
                   std::string_view preference) {
  if (all.size() == 1) return "the only one measured";
  const TuneSeries& chosen = all[choice.chosen];
  const TuneSeries& fastest = all[choice.fastest];
  if (choice.chosen != choice.fastest) {
    return fmt::format("takes {} than {}, too little to count; {}",
                       Longer(ExcessOver(chosen, fastest)), fastest.setting, preference);
  }
  std::vector<std::string> others;
  for (const TuneSeries& other : all) {
    if (other.setting == chosen.setting) continue;
    others.push_back(fmt::format("{} takes {}", other.setting, Longer(ExcessOver(other, chosen))));
  }
  return fmt::format("the fastest; {}", fmt::join(others, ", "));
}

/// The same of the threads, of which those that were looked at once are told too.
std::string ThreadsReason(const TuneResult& result, const TuneSettings& settings) {
  if (result.slow.empty() || result.requests.size() > 1)
    return Reason(result.requests, result.threads, "fewer leave CPUs to others");
  const TuneSeries slow = result.slow.front().Requests(settings.n_prompt, settings.n_answer);
  const double share = MedianOf(slow.seconds) / MedianOf(result.requests.front().seconds) - 1;
  return fmt::format("{} takes {} longer", slow.setting, Percent(share));
}

/// Which settings lie nearer to the chosen one than the error of that; empty: none.
std::string Undecided(std::string_view what, std::span<const TuneSeries> all,
                      const TuneChoice& choice) {
  std::vector<size_t> settings;
  for (const TuneSeries& other : all) {
    const TuneExcess excess = ExcessOver(other, all[choice.chosen]);
    const bool is_chosen = other.setting == all[choice.chosen].setting;
    if (is_chosen || std::abs(excess.share) < excess.error) settings.push_back(other.setting);
  }
  if (settings.size() == 1) return "";
  return fmt::format(
      "{} {} differ by less than the noise: a quiet machine or more --seconds may "
      "tell them apart",
      what, fmt::join(settings, ", "));
}

std::string NoiseText(const TuneResult& result) {
  double worst = 0;
  for (const TuneRow* row : RowsOf(result)) worst = std::max(worst, row->Noise());
  return fmt::format("at worst, half of a row's rounds lie within ±{} of their median",
                     Percent(worst));
}

/// The numbers of threads that prompts and answers alone are fastest with.
std::string ThreadsOfEach(const TuneResult& result) {
  const auto best = [&](TuneRow ThreadRows::*kind) {
    std::vector<TuneSeries> all;
    for (const ThreadRows& rows : result.by_threads) {
      TuneSeries& series = all.emplace_back(TuneSeries{static_cast<size_t>(rows.n_threads), {}});
      for (const double speed : (rows.*kind).speeds) series.seconds.push_back(1 / speed);
    }
    return all[ChooseSetting(all).chosen].setting;
  };
  return fmt::format("prefill alone: {}, decode alone: {}", best(&ThreadRows::prompt),
                     best(&ThreadRows::answer));
}

std::string ParallelText(const TuneResult& result) {
  const TuneRow& one = result.by_n_parallel.front();
  const TuneRow& most = result.by_n_parallel.back();
  return fmt::format("{} answers together get {:.2f} tok/s in all, {:.1f} times as much as {}",
                     most.test.n_seqs, most.Median(), most.Median() / one.Median(),
                     one.test.n_seqs);
}

/// Tokens that a step of a server reads in its time, at the speed of the size chosen.
size_t ServerStep(const TuneResult& result) {
  return static_cast<size_t>(result.by_batch_size[result.batch_size.chosen].Median() *
                             kServerStepSeconds);
}

}  // namespace

std::string TuneText(const TuneResult& result, const TuneSettings& settings,
                     const std::string& command) {
  using Align = TextTable::Align;
  TextTable table(
      {Align::kLeft, Align::kRight, Align::kRight, Align::kRight, Align::kRight, Align::kRight});
  table.AddRow({"test", "threads", "tok/s", "min – max", "noise", "rounds"});
  for (const TuneRow* row : RowsOf(result)) AddRow(*row, &table);
  std::string text = table.Format() + '\n';
  for (const ThreadRows& rows : result.slow) {
    text += fmt::format("Much slower with {}: fewer were not tried.\n",
                        Counted(static_cast<uint64_t>(rows.n_threads), "thread"));
  }
  if (!result.skipped_sizes.empty()) {
    text += fmt::format("No time for batch sizes {}; --seconds gives more.\n",
                        fmt::join(result.skipped_sizes, " and "));
  }

  text += fmt::format("Best settings, by what a request of {} + {} tokens takes ({:.1f} s):\n",
                      settings.n_prompt, settings.n_answer,
                      MedianOf(result.requests[result.threads.chosen].seconds));
  TextTable best({Align::kLeft, Align::kLeft, Align::kLeft});
  best.AddRow({"threads", std::to_string(result.best_threads()), ThreadsReason(result, settings)});
  if (result.by_threads.size() > 1) best.AddRow({"", "", ThreadsOfEach(result)});
  best.AddRow({"batch size", std::to_string(result.best_batch_size()),
               Reason(result.prompts, result.batch_size,
                      "smaller steps need less memory, and hold up other answers less")});
  if (const size_t step = ServerStep(result); step < result.best_batch_size()) {
    best.AddRow({"", "",
                 fmt::format("a server reads prompts for about {:.0f} s at a time, here {}: larger "
                             "sizes change nothing there",
                             kServerStepSeconds, Counted(step, "token"))});
  }
  if (result.by_n_parallel.size() > 1) best.AddRow({"together", "", ParallelText(result)});
  best.AddRow({"noise", "", NoiseText(result)});
  for (const std::string& row : {Undecided("threads", result.requests, result.threads),
                                 Undecided("batch sizes", result.prompts, result.batch_size)}) {
    if (!row.empty()) best.AddRow({"", "", row});
  }
  return text + best.Format() + fmt::format("\n  {}\n", command);
}

nlohmann::ordered_json TuneJson(const TuneResult& result, const TuneSettings& settings,
                                const std::string& command) {
  nlohmann::ordered_json json;
  for (const TuneRow* row : RowsOf(result)) {
    json["rows"].push_back({{"test", row->test.Name()},
                            {"threads", row->n_threads},
                            {"sequences", row->test.n_seqs},
                            {"median_tokens_per_second", row->Median()},
                            {"tokens_per_second", row->speeds},
                            {"noise", row->Noise()}});
  }
  json["skipped_batch_sizes"] = result.skipped_sizes;
  json["request"] = {{"prompt_tokens", settings.n_prompt}, {"answer_tokens", settings.n_answer}};
  const auto add_choices = [&](const char* key, std::span<const TuneSeries> all,
                               const TuneChoice& choice) {
    for (const TuneSeries& series : all) {
      const TuneExcess excess = ExcessOver(series, all[choice.fastest]);
      json[key].push_back({{"setting", series.setting},
                           {"longer_than_fastest", excess.share},
                           {"error", excess.error}});
    }
  };
  add_choices("threads", result.requests, result.threads);
  add_choices("batch_sizes", result.prompts, result.batch_size);
  json["best"] = {{"threads", result.best_threads()},
                  {"batch_size", result.best_batch_size()},
                  {"request_seconds", MedianOf(result.requests[result.threads.chosen].seconds)}};
  json["command"] = command;
  json["seconds"] = result.seconds;
  return json;
}

}  // namespace quern
