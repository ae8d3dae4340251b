#include "tools/measure/tune_report.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace quern {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

/// Three rounds in which a request of 100 + 10 tokens takes 2 s with the most threads.
class TuneReport : public ::testing::Test {
 protected:
  TuneReport() {
    settings_.n_prompt = 100;
    settings_.n_answer = 10;
  }

  void AddThreads(int n_threads, std::vector<double> prompt, std::vector<double> answer) {
    result_.by_threads.push_back({n_threads,
                                  {{100, true, 0, 1}, n_threads, std::move(prompt)},
                                  {{10, false, 0, 1}, n_threads, std::move(answer)}});
  }

  void AddBatchSize(size_t size, std::vector<double> speeds) {
    TuneSeries& series = result_.prompts.emplace_back(TuneSeries{size, {}});
    for (const double speed : speeds) series.seconds.push_back(1 / speed);
    result_.by_batch_size.push_back({{size, true, 0, 1}, 4, std::move(speeds)});
  }

  std::string Text() {
    result_.requests.clear();
    for (const ThreadRows& rows : result_.by_threads) {
      result_.requests.push_back(rows.Requests(settings_.n_prompt, settings_.n_answer));
    }
    result_.threads = ChooseSetting(result_.requests);
    result_.batch_size = ChooseSetting(result_.prompts);
    return TuneText(result_, settings_, "quern serve");
  }

  TuneResult result_;
  TuneSettings settings_;
};

TEST_F(TuneReport, SaysWhyTheFastestIsBest) {
  AddThreads(4, {100, 100, 100}, {10, 10, 10});
  AddThreads(2, {50, 50, 50}, {10, 10, 10});
  AddBatchSize(64, {80, 80, 80});
  AddBatchSize(128, {100, 100, 100});
  const std::string text = Text();
  EXPECT_THAT(text, HasSubstr("by what a request of 100 + 10 tokens takes (2.0 s):\n"));
  EXPECT_THAT(text, HasSubstr("  threads      4     the fastest; 2 takes 50.0% ±0.0% longer\n"));
  EXPECT_THAT(text, HasSubstr("prefill alone: 4, decode alone: 2\n"));
  EXPECT_THAT(text, HasSubstr("  batch size   128   the fastest; 64 takes 25.0% ±0.0% longer\n"));
  EXPECT_THAT(text, HasSubstr("a server reads prompts for about 1 s at a time, here 100 tokens"));
  EXPECT_THAT(text, Not(HasSubstr("differ by")));
}

TEST_F(TuneReport, SaysWhyASlowerOneIsBest) {
  AddThreads(4, {100, 100, 100}, {10, 10, 10});
  AddThreads(2, {98, 98, 98}, {10, 10, 10});
  AddBatchSize(64, {99, 99, 99});
  AddBatchSize(128, {100, 100, 100});
  const std::string text = Text();
  EXPECT_THAT(text, HasSubstr("  threads      2    takes 1.0% ±0.0% longer than 4, too little to "
                              "count; fewer leave CPUs to others\n"));
  EXPECT_THAT(text, HasSubstr("  batch size   64   takes 1.0% ±0.0% longer than 128, too little "));
  EXPECT_THAT(text, Not(HasSubstr("a server reads")));
}

TEST_F(TuneReport, SaysWhatNoiseHides) {
  AddThreads(4, {100, 120, 80}, {10, 10, 10});
  AddThreads(2, {96, 85, 118}, {10, 10, 10});
  AddBatchSize(64, {100, 100, 100});
  const std::string text = Text();
  EXPECT_THAT(text,
              HasSubstr("at worst, half of a row's rounds lie within ±20.0% of their median\n"));
  EXPECT_THAT(text, HasSubstr("threads 4, 2 differ by less than the noise: "));
  EXPECT_THAT(text, Not(HasSubstr("batch sizes")));
  EXPECT_THAT(text, HasSubstr("  batch size   64   the only one measured\n"));
}

TEST_F(TuneReport, SaysWhatWasLeftOut) {
  AddThreads(4, {100, 100, 100}, {10, 10, 10});
  AddThreads(2, {50, 50}, {5, 5});
  result_.slow.push_back(result_.by_threads.back());
  result_.by_threads.pop_back();
  AddBatchSize(64, {100, 100, 100});
  result_.skipped_sizes = {256, 512};
  const std::string text = Text();
  EXPECT_THAT(text, HasSubstr("Much slower with 2 threads: fewer were not tried.\n"));
  EXPECT_THAT(text, HasSubstr("  threads      4    2 takes 100.0% longer\n"));
  EXPECT_THAT(text, HasSubstr("No time for batch sizes 256 and 512; --seconds gives more.\n"));
}

}  // namespace
}  // namespace quern
