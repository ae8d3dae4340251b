#include "runtime/engine/prefill_pacer.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace quern {
namespace {

constexpr size_t kMost = 512;

/// A machine that reads its weights in 0.12 s and takes 0.02 s for a row: six rows are free.
struct Machine {
  double slowness = 1;
  double Seconds(size_t n_rows) const {
    return slowness * std::max(0.12, 0.02 * static_cast<double>(n_rows));
  }
  size_t Step(PrefillPacer& pacer, size_t n_decoding) const {
    const size_t chunk = pacer.Chunk(n_decoding, kMost);
    pacer.Observe(n_decoding, chunk, Seconds(n_decoding + chunk));
    return chunk;
  }
};

TEST(PrefillPacer, WithoutLimitsAPromptIsReadAtOnce) {
  const PrefillPacer pacer(0, 0);
  EXPECT_EQ(pacer.Chunk(0, kMost), kMost);
  EXPECT_EQ(pacer.Chunk(3, kMost), kMost);
}

/// Whatever it knew before, and though the machine gets slower and faster.
TEST(PrefillPacer, StepsBesideAnswersStayWithinTheStretch) {
  for (const size_t n_decoding : {1, 4, 6, 9, 20}) {
    PrefillPacer pacer(2, 0);
    Machine machine;
    machine.Step(pacer, 0);
    pacer.Observe(n_decoding, 0, machine.Seconds(n_decoding));
    size_t most = 0;
    for (int i = 0; i < 400; ++i) {
      machine.slowness = i % 200 < 100 ? 1 : 1.5;
      const size_t chunk = machine.Step(pacer, n_decoding);
      const double stretch = machine.Seconds(n_decoding + chunk) / machine.Seconds(n_decoding);
      if (i % 100 >= 50) {
        EXPECT_LE(stretch, 2.2) << n_decoding;  // estimates err by a row
        most = std::max(most, chunk);
      }
    }
    EXPECT_GE(most + n_decoding, 2 * std::max<size_t>(6, n_decoding) - 1) << n_decoding;
  }
}

TEST(PrefillPacer, LooksAtAnswersAloneNowAndThen) {
  PrefillPacer pacer(2, 0);
  const Machine machine;
  machine.Step(pacer, 0);
  pacer.Observe(1, 0, machine.Seconds(1));
  int n_quiet = 0;
  for (int i = 0; i < 200; ++i) n_quiet += machine.Step(pacer, 1) == 0 ? 1 : 0;
  EXPECT_GE(n_quiet, 5);
  EXPECT_LE(n_quiet, 20);
}

TEST(PrefillPacer, NoStepIsLongerThanTheLimit) {
  PrefillPacer pacer(0, 1);
  const Machine machine;
  EXPECT_GE(machine.Step(pacer, 0), 16U);
  EXPECT_EQ(pacer.Chunk(0, kMost), 50U);
  EXPECT_EQ(pacer.Chunk(0, 20), 20U);
  EXPECT_EQ(pacer.Chunk(10, kMost), 40U);
}

TEST(PrefillPacer, PromptsAlwaysGoOn) {
  PrefillPacer pacer(1.01, 0.5);
  pacer.Observe(1, 0, 0.1);
  pacer.Observe(0, 100, 6000);
  EXPECT_EQ(pacer.Chunk(0, kMost), 1U);
  EXPECT_EQ(pacer.Chunk(1, kMost), 1U);
  EXPECT_EQ(pacer.Chunk(100, kMost), 1U);
}

}  // namespace
}  // namespace quern
