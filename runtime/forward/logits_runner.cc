#include "runtime/forward/logits_runner.h"

#include <algorithm>
#include <array>
#include <utility>

#include "runtime/forward/executor.h"

namespace quern {
namespace {

constexpr size_t kMostLogitsBytes = 64U << 20U;

size_t ChunkTokens(const Model& model, const LogitsOptions& options) {
  const size_t row_bytes = model.hparams().n_vocab * sizeof(float);
  const size_t most = std::max<size_t>(1, kMostLogitsBytes / row_bytes);
  return std::clamp<size_t>(options.chunk_tokens, 1, most);
}

}  // namespace

LogitsRunner::LogitsRunner(std::shared_ptr<const Model> model, const LogitsOptions& options,
                           std::unique_ptr<ForwardPass> pass)
    : model_(std::move(model)), options_(options), pass_(std::move(pass)) {}

Result<std::unique_ptr<LogitsRunner>> LogitsRunner::Create(std::shared_ptr<const Model> model,
                                                           const LogitsOptions& options) {
  auto pass = Executor::Create(model, {.kv_types = options.kv_types,
                                       .n_pages = PagesFor(options.n_ctx),
                                       .n_threads = options.n_threads,
                                       .max_rows = ChunkTokens(*model, options)});
  if (!pass) return Propagate(pass);
  return std::unique_ptr<LogitsRunner>(
      new LogitsRunner(std::move(model), options, *std::move(pass)));
}

Status LogitsRunner::Run(std::span<const Token> tokens, size_t first_wanted, const OnRow& on_row) {
  const size_t n_vocab = model_->hparams().n_vocab;
  if (tokens.empty()) return Fail(ErrorCode::kInvalidArgument, "no tokens");
  if (tokens.size() > options_.n_ctx) {
    return Fail(ErrorCode::kInvalidArgument, "{} tokens, expected at most the context of {}",
                tokens.size(), options_.n_ctx);
  }
  for (const Token token : tokens) {
    if (token < 0 || static_cast<size_t>(token) >= n_vocab) {
      return Fail(ErrorCode::kInvalidArgument, "token {} is outside the vocabulary of {}", token,
                  n_vocab);
    }
  }
  Sequence sequence(&pass_->pool());
  if (Status reserved = sequence.Reserve(tokens.size()); !reserved) return reserved;
  for (size_t first = 0; first < tokens.size();) {
    const size_t count = std::min(pass_->max_rows(), tokens.size() - first);
    const size_t end = first + count;
    const size_t n_logits = std::min(count, end - std::min(end, first_wanted));
    const std::array<BatchPart, 1> parts = {
        BatchPart{&sequence, tokens.subspan(first, count), n_logits}};
    const std::span<const float> logits = pass_->Forward(parts);
    for (size_t i = 0; i < n_logits; ++i) {
      Status done = on_row(end - n_logits + i, logits.subspan(i * n_vocab, n_vocab));
      if (!done) return done;
    }
    first = end;
  }
  return {};
}

}  // namespace quern
