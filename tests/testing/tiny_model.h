// Small models for tests: random weights of any shape and type in a temporary GGUF file.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "runtime/model/model.h"
#include "tests/testing/temp_dir.h"
#include "tools/quantize/synthetic_model.h"

namespace quern::testing {

/// A file that lives as long as the object. A failure to make it ends the program: no test can go
/// on.
class TinyModel {
 public:
  /// `vocabulary`: a file whose tokenizer the model gets; null: a generated one.
  explicit TinyModel(const SyntheticModel& shapes, const GgufFile* vocabulary = nullptr);

  const std::string& path() const { return path_; }
  GgufFile Open() const;
  std::shared_ptr<const Model> Load(LoadMode mode = LoadMode::kMmap) const;

 private:
  TempDir folder_;
  std::string path_ = folder_.File("model.gguf");
};

/// `n` tokens of the model's vocabulary, the same for the same seed.
std::vector<Token> RandomTokens(size_t n, size_t n_vocab, uint64_t seed);

}  // namespace quern::testing
