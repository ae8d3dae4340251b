#include "runtime/forward/executor.h"

#include <algorithm>
#include <cmath>
#include <new>
#include <utility>

#include "gguf/base/check.h"
#include "runtime/forward/attention_block.h"
#include "runtime/forward/ffn_block.h"
#include "runtime/forward/products.h"
#include "runtime/forward/residual.h"
#include "runtime/forward/step_buffers.h"
#include "runtime/forward/step_plan.h"
#include "runtime/forward/step_trace.h"
#include "runtime/forward/step_worker.h"
#include "runtime/machine/node_work.h"

namespace quern {
namespace {

/// Phases of a step whose work is handed out dynamically, at most.
size_t PhasesOf(const HParams& hparams) {
  size_t n = 1;  // the logits
  for (const LayerSpec& layer : hparams.layers) {
    n += AttentionBlock::Phases(layer) + FfnBlock::Phases(layer);
  }
  return n;
}

}  // namespace

struct Executor::Impl {
  Impl(std::shared_ptr<const Model> model_in, KvPool pool_in, const Options& options)
      : model(std::move(model_in)),
        hparams(model->hparams()),
        pool(std::move(pool_in)),
        team(options.n_threads > 0 ? options.n_threads : AvailableThreads()),
        max_rows(options.max_rows),
        buffers(*model, max_rows, static_cast<size_t>(team.n_threads())),
        residual(model.get(), max_rows),
        attention(model.get(), &pool, &plan, &buffers, &residual, max_rows,
                  static_cast<size_t>(team.n_threads())),
        ffn(model.get(), &buffers, &residual),
        work(&model->nodes(), PhasesOf(hparams)) {}

  void Run(TeamMember& member);
  void Embed(StepWorker& worker);
  void EmbedRow(StepWorker& worker, size_t row);
  void TurnRow(size_t row);
  void Output(StepWorker& worker);
  void FinishLogits(size_t first, size_t last);
  const float* NormBeforeAttention(size_t layer) const;

  std::shared_ptr<const Model> model;
  const HParams& hparams;
  KvPool pool;
  ThreadTeam team;
  size_t max_rows;
  StepTrace* trace = nullptr;
  StepPlan plan;
  StepBuffers buffers;
  Residual residual;
  AttentionBlock attention;
  FfnBlock ffn;
  NodeWork work;
};

Executor::Executor(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Executor::~Executor() = default;

Result<std::unique_ptr<Executor>> Executor::Create(std::shared_ptr<const Model> model,
                                                   const Options& options) {
  Result<KvPool> pool = KvPool::Create(model->hparams(), options.kv_types, options.n_pages);
  if (!pool) return Propagate(pool);
  try {
    return std::unique_ptr<Executor>(
        new Executor(std::make_unique<Impl>(std::move(model), *std::move(pool), options)));
  } catch (const std::bad_alloc&) {
    return Fail(ErrorCode::kOutOfMemory,
                "no memory for the work on chunks of {} tokens by {} threads", options.max_rows,
                options.n_threads);
  }
}

KvPool& Executor::pool() { return impl_->pool; }
size_t Executor::max_rows() const { return impl_->max_rows; }
ThreadTeam& Executor::team() { return impl_->team; }
void Executor::SetTrace(StepTrace* trace) { impl_->trace = trace; }

void Executor::ForEach(size_t n, const std::function<void(size_t)>& body) {
  impl_->team.ForEach(n, body);
}

std::span<const float> Executor::Forward(std::span<const BatchPart> parts) {
  Impl& impl = *impl_;
  impl.plan.Build(parts);
  QUERN_DCHECK(impl.plan.n_rows() > 0 && impl.plan.n_rows() <= impl.max_rows);
  impl.buffers.Prepare(impl.plan);
  impl.attention.Prepare();
  impl.work.Reset();
  impl.team.Run([&](TeamMember& member) { impl.Run(member); });
  for (const BatchPart& part : parts) part.sequence->Advance(part.tokens.size());
  return {impl.buffers.logits.data(), impl.plan.n_logits() * impl.hparams.n_vocab};
}

std::span<const float> Executor::hidden() const {
  const StepPlan& plan = impl_->plan;
  return {impl_->buffers.hidden.data(),
          (plan.wanted().size() - plan.n_logits()) * impl_->hparams.n_embd};
}

void Executor::Impl::Run(TeamMember& member) {
  StepWorker worker(&member, &model->nodes(), &work,
                    &buffers.own[static_cast<size_t>(member.index())], trace);
  Embed(worker);
  for (size_t i = 0; i < hparams.n_layer(); ++i) {
    worker.EnterLayer(i);
    attention.Run(worker, i, model->layers()[i].vector(TensorRole::kFfnNorm));
    // After the last attention only the wanted rows go on.
    const size_t n_rows = i + 1 == hparams.n_layer() ? plan.wanted().size() : plan.n_rows();
    if (n_rows > 0) ffn.Run(worker, i, n_rows, NormBeforeAttention(i + 1));
  }
  worker.LeaveLayers();
  Output(worker);
  worker.End();
}

/// The weights of the norm before a layer, or after the last.
const float* Executor::Impl::NormBeforeAttention(size_t layer) const {
  return layer < hparams.n_layer() ? model->layers()[layer].vector(TensorRole::kAttnNorm)
                                   : model->tensors().vector(TensorRole::kOutputNorm);
}

void Executor::Impl::Embed(StepWorker& worker) {
  worker.Enter(StepOp::kEmbed);
  worker.ForEachOfShare(plan.n_rows(), [&](size_t row) {
    EmbedRow(worker, row);
    TurnRow(row);
  });
}

/// x = embedding_scale * the token's row of the embedding, or the vector given.
void Executor::Impl::EmbedRow(StepWorker& worker, size_t row) {
  const StepRow& of = plan.rows()[row];
  float* x = residual.row(row);
  if (of.vector != nullptr) {
    std::copy_n(of.vector, hparams.n_embd, x);
  } else {
    DequantizeRow(model->token_embd(), static_cast<size_t>(of.token), x);
    if (hparams.embedding_scale != 1) {
      const auto scale = static_cast<float>(hparams.embedding_scale);
      for (size_t i = 0; i < hparams.n_embd; ++i) x[i] *= scale;
    }
  }
  residual.PrepareInput(worker, NormBeforeAttention(0), row);
}

/// cos and sin of the row's position in each RoPE table, in double before rounding.
void Executor::Impl::TurnRow(size_t row) {
  const RopePosition& position = plan.rows()[row].position;
  for (size_t table = 0; table < hparams.ropes.size(); ++table) {
    const RopeTable& rope = hparams.ropes[table];
    const size_t n_pairs = rope.n_rot / 2;
    for (size_t i = 0; i < n_pairs; ++i) {
      const uint32_t number = position[rope.axes.empty() ? 0 : rope.axes[i]];
      const double angle = static_cast<double>(number) * rope.frequencies[i];
      buffers.cos[table].data()[row * n_pairs + i] = static_cast<float>(std::cos(angle));
      buffers.sin[table].data()[row * n_pairs + i] = static_cast<float>(std::sin(angle));
    }
  }
}

/// Hidden states where they are wanted, and logits where those are: W_output norm(x), scaled and
/// capped.
void Executor::Impl::Output(StepWorker& worker) {
  const float* norm = model->tensors().vector(TensorRole::kOutputNorm);
  worker.Enter(StepOp::kPrepare);
  worker.ForEachOfShare(plan.wanted().size() - plan.n_logits(), [&](size_t i) {
    residual.Norm(plan.n_logits() + i, norm, buffers.hidden.data() + i * hparams.n_embd);
  });
  if (plan.n_logits() == 0) return;
  Multiply(worker, *model, StepOp::kOutput, residual.Input(worker, norm, plan.n_logits()),
           {{model->output(), buffers.logits.data(), hparams.n_vocab}},
           [&](size_t /*product*/, size_t first, size_t last) { FinishLogits(first, last); });
}

/// logit_cap * tanh(logit_scale * l / logit_cap), of columns [first, last) of all rows.
void Executor::Impl::FinishLogits(size_t first, size_t last) {
  if (hparams.logit_scale == 1 && hparams.logit_cap == 0) return;
  for (size_t row = 0; row < plan.n_logits(); ++row) {
    float* logits = buffers.logits.data() + row * hparams.n_vocab;
    for (size_t i = first; i < last; ++i) {
      double logit = logits[i] * hparams.logit_scale;
      if (hparams.logit_cap != 0) logit = hparams.logit_cap * std::tanh(logit / hparams.logit_cap);
      logits[i] = static_cast<float>(logit);
    }
  }
}

}  // namespace quern
