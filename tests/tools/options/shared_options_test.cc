#include "tools/options/shared_options.h"

#include <gtest/gtest.h>

namespace quern {
namespace {

TEST(ContextOption, IsByDefaultWhatTheModelWasTrainedForAtMost4096) {
  HParams hparams;
  hparams.n_ctx_train = 1024;
  EXPECT_EQ(ContextFor(hparams, std::nullopt), 1024U);
  hparams.n_ctx_train = 131072;
  EXPECT_EQ(ContextFor(hparams, std::nullopt), 4096U);
  EXPECT_EQ(ContextFor(hparams, 8192), 8192U);
  EXPECT_EQ(ContextFor(hparams, 0), 131072U);
}

}  // namespace
}  // namespace quern
