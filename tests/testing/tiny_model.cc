#include "tests/testing/tiny_model.h"

#include <fmt/format.h>

#include <cstdio>
#include <cstdlib>
#include <utility>

#include "tools/quantize/random_blocks.h"

namespace quern::testing {
namespace {

template <typename T>
T OrDie(Result<T> result) {
  if (result) return std::move(*result);
  fmt::print(stderr, "test model: {}\n", result.error().message);
  std::abort();
}

}  // namespace

TinyModel::TinyModel(const SyntheticModel& shapes, const GgufFile* vocabulary) {
  SyntheticWriteOptions options;
  options.vocabulary = vocabulary;
  options.n_threads = 1;
  if (const Status written = WriteSyntheticModel(shapes, path_, options); !written) {
    fmt::print(stderr, "test model: {}\n", written.error().message);
    std::abort();
  }
}

GgufFile TinyModel::Open() const { return OrDie(GgufFile::Open(path_)); }

std::shared_ptr<const Model> TinyModel::Load(LoadMode mode) const {
  return OrDie(Model::Load(Open(), {.mode = mode}));
}

std::vector<Token> RandomTokens(size_t n, size_t n_vocab, uint64_t seed) {
  std::vector<Token> tokens(n);
  for (size_t i = 0; i < n; ++i) tokens[i] = static_cast<Token>(RandomBits(seed, i) % n_vocab);
  return tokens;
}

}  // namespace quern::testing
