// Vocabulary-only GGUF files for tests, built in memory.
#pragma once

#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "gguf/gguf_file.h"
#include "gguf/gguf_writer.h"
#include "runtime/text/vocabulary.h"

namespace quern::testing {

/// A small vocabulary and the file that holds it. Change writer() before the first file().
class VocabularyFile {
 public:
  explicit VocabularyFile(const std::string& model) : writer_(std::make_unique<GgufWriter>()) {
    writer_->SetString("tokenizer.ggml.model", model);
  }

  GgufWriter& writer() { return *writer_; }

  VocabularyFile& Add(std::string text, TokenType type = TokenType::kNormal, float score = 0) {
    texts_.push_back(std::move(text));
    types_.push_back(static_cast<int32_t>(type));
    scores_.push_back(score);
    return *this;
  }
  VocabularyFile& AddMerge(std::string merge) {
    merges_.push_back(std::move(merge));
    return *this;
  }

  /// Lives as long as this object.
  const GgufFile& file() {
    if (files_.empty()) {
      writer_->SetStrings("tokenizer.ggml.tokens", texts_);
      if (!has_own_types) writer_->SetInt32s("tokenizer.ggml.token_type", types_);
      if (!has_own_scores) writer_->SetFloat32s("tokenizer.ggml.scores", scores_);
      if (!merges_.empty()) writer_->SetStrings("tokenizer.ggml.merges", merges_);
      bytes_ = writer_->Header();
      auto opened = GgufFile::FromMemory(bytes_, "test.gguf");
      EXPECT_TRUE(opened) << opened.error().message;
      files_.push_back(std::move(*opened));
    }
    return files_.front();
  }

  bool has_own_types = false;   ///< the test set tokenizer.ggml.token_type itself
  bool has_own_scores = false;  ///< the test set tokenizer.ggml.scores itself

 private:
  std::unique_ptr<GgufWriter> writer_;
  std::vector<std::string> texts_;
  std::vector<int32_t> types_;
  std::vector<float> scores_;
  std::vector<std::string> merges_;
  std::vector<std::byte> bytes_;
  std::vector<GgufFile> files_;  // none or one
};

}  // namespace quern::testing
