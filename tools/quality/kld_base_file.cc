#include "tools/quality/kld_base_file.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <string_view>

#include "gguf/base/check.h"

namespace quern {
namespace {

// Layout, little endian: "_logits_", int32 n_ctx, n_vocab, n_chunks, int32 tokens[n_chunks][n_ctx],
// then for each chunk and stored position float step, float smallest log-probability, uint16
// codes[n_vocab] and one more if n_vocab is odd. A log-probability is smallest + step * code.
constexpr std::string_view kMagic = "_logits_";
constexpr size_t kRowHeader = 4;  // uint16 values that the two floats take
constexpr float kLargestCode = 65535;

size_t RowValues(size_t n_vocab) { return kRowHeader + (n_vocab + 1) / 2 * 2; }

uint64_t FileBytes(const KldBaseShape& shape) {
  const uint64_t header = kMagic.size() + 3 * sizeof(int32_t);
  const uint64_t tokens = shape.n_chunks * shape.n_ctx * sizeof(int32_t);
  const uint64_t rows = shape.n_chunks * shape.scored_per_chunk();
  return header + tokens + rows * RowValues(shape.n_vocab) * sizeof(uint16_t);
}

// `values`: contiguous, of plain numbers.
template <typename Values>
bool ReadInto(std::ifstream& stream, Values& values) {
  stream.read(reinterpret_cast<char*>(values.data()),
              static_cast<std::streamsize>(values.size() * sizeof(values[0])));
  return static_cast<bool>(stream);
}

}  // namespace

bool KldBaseReader::Matches(const std::string& path) {
  std::ifstream stream(path, std::ios::binary);
  std::array<char, kMagic.size()> start{};
  return ReadInto(stream, start) && std::string_view(start.data(), start.size()) == kMagic;
}

Result<KldBaseReader> KldBaseReader::Open(const std::string& path) {
  KldBaseReader reader;
  reader.path_ = path;
  reader.stream_.open(path, std::ios::binary | std::ios::ate);
  if (!reader.stream_) return Fail(ErrorCode::kNotFound, "{}: cannot open the file", path);
  const auto file_bytes = static_cast<uint64_t>(reader.stream_.tellg());
  reader.stream_.seekg(0);

  std::array<char, kMagic.size()> start{};
  std::array<int32_t, 3> sizes{};
  if (!ReadInto(reader.stream_, start) || std::string_view(start.data(), start.size()) != kMagic ||
      !ReadInto(reader.stream_, sizes)) {
    return Fail(ErrorCode::kCorruptFile, "{}: not a KL divergence base file: no '{}' and sizes",
                path, kMagic);
  }
  const int32_t n_ctx = sizes[0];
  const int32_t n_vocab = sizes[1];
  const int32_t n_chunks = sizes[2];
  // Three sizes below 2^31 fit their product times the bytes of a value only if they are bounded
  // one by one.
  constexpr int32_t kMost = 1 << 24;
  if (n_ctx < 4 || n_ctx > kMost || n_vocab < 1 || n_vocab > kMost || n_chunks < 1 ||
      n_chunks > kMost / 4) {
    return Fail(ErrorCode::kCorruptFile, "{}: {} chunks of {} tokens of a vocabulary of {}", path,
                n_chunks, n_ctx, n_vocab);
  }
  reader.shape_ = {static_cast<size_t>(n_ctx), static_cast<size_t>(n_vocab),
                   static_cast<size_t>(n_chunks)};
  // 2^22 chunks * 2^23 rows * 2^25 bytes would wrap around, but no file has so many tokens.
  const uint64_t n_tokens = reader.shape_.n_chunks * reader.shape_.n_ctx;
  if (n_tokens > file_bytes || FileBytes(reader.shape_) != file_bytes) {
    return Fail(ErrorCode::kCorruptFile,
                "{}: {} bytes do not fit {} chunks of {} tokens of a vocabulary of {}", path,
                file_bytes, n_chunks, n_ctx, n_vocab);
  }
  reader.tokens_.resize(n_tokens);
  if (!ReadInto(reader.stream_, reader.tokens_)) {
    return Fail(ErrorCode::kIo, "{}: cannot read the tokens", path);
  }
  const auto outside = std::find_if(reader.tokens_.begin(), reader.tokens_.end(),
                                    [&](Token token) { return token < 0 || token >= n_vocab; });
  if (outside != reader.tokens_.end()) {
    return Fail(ErrorCode::kCorruptFile, "{}: token {} is outside the vocabulary of {}", path,
                *outside, n_vocab);
  }
  reader.row_.resize(RowValues(reader.shape_.n_vocab));
  return reader;
}

Status KldBaseReader::Read(std::span<double> log_probs) {
  QUERN_DCHECK(log_probs.size() == shape_.n_vocab);
  if (!ReadInto(stream_, row_)) {
    return Fail(ErrorCode::kIo, "{}: cannot read another position", path_);
  }
  float step = 0;
  float smallest = 0;
  std::memcpy(&step, row_.data(), sizeof(step));
  std::memcpy(&smallest, row_.data() + 2, sizeof(smallest));
  if (!std::isfinite(step) || !std::isfinite(smallest)) {
    return Fail(ErrorCode::kCorruptFile, "{}: a position has step {} and smallest {}", path_, step,
                smallest);
  }
  for (size_t i = 0; i < log_probs.size(); ++i) {
    log_probs[i] = static_cast<double>(smallest) + static_cast<double>(step) * row_[kRowHeader + i];
  }
  return {};
}

Result<KldBaseWriter> KldBaseWriter::Create(const std::string& path, const KldBaseShape& shape,
                                            std::span<const Token> tokens) {
  QUERN_DCHECK(tokens.size() == shape.n_chunks * shape.n_ctx);
  const std::array<int32_t, 3> sizes = {static_cast<int32_t>(shape.n_ctx),
                                        static_cast<int32_t>(shape.n_vocab),
                                        static_cast<int32_t>(shape.n_chunks)};
  auto file = OutputFile::Create(path, FileBytes(shape));
  if (!file) return Propagate(file);
  Status written = file->Write(std::as_bytes(std::span(kMagic)));
  if (written) written = file->Write(std::as_bytes(std::span(sizes)));
  if (written) written = file->Write(std::as_bytes(tokens));
  if (!written) return Propagate(written);
  return KldBaseWriter(path, std::move(*file), shape);
}

KldBaseWriter::KldBaseWriter(std::string path, OutputFile file, const KldBaseShape& shape)
    : path_(std::move(path)),
      file_(std::move(file)),
      missing_rows_(shape.n_chunks * shape.scored_per_chunk()),
      row_(RowValues(shape.n_vocab)) {}

Status KldBaseWriter::Write(std::span<const float> logits) {
  QUERN_DCHECK(missing_rows_ > 0);
  --missing_rows_;
  if (std::any_of(logits.begin(), logits.end(), [](float x) { return std::isnan(x); })) {
    return Fail(ErrorCode::kInvalidArgument, "{}: logits that are not all numbers", path_);
  }
  const auto [smallest_at, largest_at] = std::minmax_element(logits.begin(), logits.end());
  const float largest = *largest_at;
  if (!std::isfinite(largest)) {
    return Fail(ErrorCode::kInvalidArgument, "{}: a largest logit of {}, expected a finite one",
                path_, largest);
  }
  const float smallest = std::max(*smallest_at, largest + static_cast<float>(kKldBaseFloor));
  double sum = 0;
  for (const float logit : logits) sum += std::exp(static_cast<double>(logit) - largest);
  const float step = (largest - smallest) / kLargestCode;
  const auto smallest_log_prob = static_cast<float>(smallest - largest - std::log(sum));
  std::memcpy(row_.data(), &step, sizeof(step));
  std::memcpy(row_.data() + 2, &smallest_log_prob, sizeof(smallest_log_prob));
  for (size_t i = 0; i < logits.size(); ++i) {
    const float code = step > 0 ? std::round((logits[i] - smallest) / step) : 0;
    row_[kRowHeader + i] = static_cast<uint16_t>(std::clamp(code, 0.0F, kLargestCode));
  }
  return file_.Write(std::as_bytes(std::span(row_)));
}

Status KldBaseWriter::Finish() {
  if (missing_rows_ != 0) {
    return Fail(ErrorCode::kInvalidArgument, "{}: {} positions were never written", path_,
                missing_rows_);
  }
  return file_.Commit();
}

}  // namespace quern
