#include "runtime/forward/attention_block.h"

#include <algorithm>
#include <array>

#include "kernels/ops.h"
#include "runtime/forward/products.h"

namespace quern {
namespace {

/// Most floats of split attention's states, 256 MiB: 32 heads of 128 take 34 MB a row with a
/// context of a million tokens.
constexpr size_t kMostSplitFloats = size_t{64} << 20;

/// x = x / rms(x) * norm, of one head.
void NormHead(const float* norm, size_t head_dim, float eps, float* x) {
  constexpr size_t kMostBlocks = 512 / kSquaresBlock;  // HParams bounds heads by 512
  std::array<double, kMostBlocks> squares;
  SumSquares(x, head_dim, squares.data());
  Weigh(x, norm, RmsFactor(squares.data(), head_dim, eps), head_dim, x);
}

void MergeStates(size_t head_dim, size_t n_queries, const float* next, float* states) {
  const size_t state_floats = AttentionStateFloats(head_dim);
  for (size_t i = 0; i < n_queries; ++i) {
    MergeAttention(head_dim, next + i * state_floats, states + i * state_floats);
  }
}

}  // namespace

AttentionBlock::AttentionBlock(const Model* model, KvPool* pool, const StepPlan* plan,
                               StepBuffers* buffers, Residual* residual, size_t max_rows,
                               size_t n_threads)
    : model_(model),
      hparams_(model->hparams()),
      pool_(pool),
      plan_(plan),
      buffers_(buffers),
      residual_(residual),
      n_threads_(n_threads),
      heads_done_(buffers->widths.n_head + 2 * buffers->widths.n_head_kv),
      splits_done_(max_rows * buffers->widths.n_head_kv),
      tiles_done_(max_rows) {}

void AttentionBlock::Prepare() {
  size_t floats = 0;
  for (const LayerSpec& layer : hparams_.layers) {
    if (SharesOutSplits(layer.attention)) {
      floats = std::max(floats, SplitStateFloats(layer.attention));
    }
  }
  if (split_states_.size() < floats) split_states_ = AlignedBuffer<float>(floats);
}

size_t AttentionBlock::SplitStateFloats(const AttentionSpec& spec) const {
  return plan_->n_rows() * spec.n_head * plan_->most_splits() * AttentionStateFloats(spec.k_dim);
}

/// With few tasks and a long context the splits of a tile are shared out as well, if their states
/// take no more memory than a file of odd shapes may claim. The arithmetic is the same either way.
bool AttentionBlock::SharesOutSplits(const AttentionSpec& spec) const {
  return plan_->most_splits() > 1 && plan_->tiles().size() * spec.n_head_kv < 4 * n_threads_ &&
         SplitStateFloats(spec) <= kMostSplitFloats;
}

void AttentionBlock::Run(StepWorker& worker, size_t layer, const float* next) {
  Project(worker, layer);

  const size_t n_rows = IsLast(layer) ? plan_->wanted().size() : plan_->n_rows();
  if (n_rows == 0) return;
  // Attention reads no row of x, so one thread may move them meanwhile.
  if (IsLast(layer) && worker.is_first()) residual_->KeepRows(plan_->wanted());
  Attend(worker, layer);

  const TensorSet& weights = model_->layers()[layer];
  residual_->Add(worker, StepOp::kAttnOutput, weights.matrix(TensorRole::kAttnOutput),
                 {buffers_->attended, nullptr, n_rows}, hparams_.layers[layer].residual_scale,
                 weights.vector(TensorRole::kAttnPostNorm), next);
}

/// Q, K and V of the new rows, K and V in the cache.
void AttentionBlock::Project(StepWorker& worker, size_t layer) {
  const AttentionSpec& spec = hparams_.layers[layer].attention;
  const TensorSet& weights = model_->layers()[layer];
  const bool turned = spec.rope.has_value();
  StepBuffers& b = *buffers_;
  const std::array<Heads, 3> heads = {{
      {.rows = b.q.data(),
       .width = spec.q_width(),
       .first = 0,
       .bias = weights.vector(TensorRole::kAttnQBias),
       .norm = weights.vector(TensorRole::kAttnQNorm),
       .turned = turned,
       .store = nullptr},
      {.rows = b.k.data(),
       .width = spec.k_width(),
       .first = spec.n_head,
       .bias = weights.vector(TensorRole::kAttnKBias),
       .norm = weights.vector(TensorRole::kAttnKNorm),
       .turned = turned,
       .store = StoreK},
      {.rows = b.v.data(),
       .width = spec.v_width(),
       .first = spec.n_head + spec.n_head_kv,
       .bias = weights.vector(TensorRole::kAttnVBias),
       .norm = nullptr,
       .turned = false,
       .store = StoreV},
  }};
  const float* norm = weights.vector(TensorRole::kAttnNorm);
  Multiply(worker, *model_, StepOp::kAttnQkv, residual_->Input(worker, norm, plan_->n_rows()),
           {{weights.matrix(TensorRole::kAttnQ), heads[0].rows, heads[0].width},
            {weights.matrix(TensorRole::kAttnK), heads[1].rows, heads[1].width},
            {weights.matrix(TensorRole::kAttnV), heads[2].rows, heads[2].width}},
           [&](size_t of_qkv, size_t first, size_t last) {
             FinishHeads(worker, layer, heads[of_qkv], first, last);
           });
}

/// Columns [first, last) are there, of all rows. Whoever makes a head whole finishes it.
void AttentionBlock::FinishHeads(StepWorker& worker, size_t layer, const Heads& heads, size_t first,
                                 size_t last) {
  const size_t head_dim = hparams_.layers[layer].attention.k_dim;
  for (size_t head = first / head_dim; head * head_dim < last; ++head) {
    const size_t n_done = std::min(last, (head + 1) * head_dim) - std::max(first, head * head_dim);
    if (!heads_done_.Add(heads.first + head, n_done, head_dim)) continue;
    worker.Enter(StepOp::kRope);
    for (const AttentionTile& tile : plan_->tiles()) {
      for (size_t row = tile.row; row < tile.row + tile.n_tokens; ++row) {
        FinishHead(layer, heads, head, tile, row);
      }
    }
  }
}

/// Bias, norm and RoPE of one head of a row, and its way to the cache.
void AttentionBlock::FinishHead(size_t layer, const Heads& heads, size_t head,
                                const AttentionTile& tile, size_t row) {
  const AttentionSpec& spec = hparams_.layers[layer].attention;
  const size_t head_dim = spec.k_dim;
  float* values = heads.rows + row * heads.width + head * head_dim;
  if (heads.bias != nullptr) {
    for (size_t i = 0; i < head_dim; ++i) values[i] += heads.bias[head * head_dim + i];
  }
  if (heads.norm != nullptr) NormHead(heads.norm, head_dim, hparams_.norm_eps, values);
  if (heads.turned) {
    const RopeTable& rope = hparams_.ropes[*spec.rope];
    const size_t n_pairs = rope.n_rot / 2;
    Rope(rope.style, buffers_->cos[*spec.rope].data() + row * n_pairs,
         buffers_->sin[*spec.rope].data() + row * n_pairs, 1, head_dim, rope.n_rot, values);
  }
  if (heads.store == nullptr) return;
  const size_t slot = plan_->rows()[row].slot;
  std::byte* page = tile.sequence->page_table(pool_->GroupOf(layer))[slot / kPageTokens];
  heads.store(pool_->types(), values, head_dim, slot % kPageTokens,
              page + pool_->Offset(layer, head));
}

AttentionArgs AttentionBlock::ArgsOf(size_t layer, const AttentionTile& tile,
                                     size_t head_kv) const {
  const AttentionSpec& spec = hparams_.layers[layer].attention;
  return {.types = pool_->types(),
          .head_dim = spec.k_dim,
          .scale = static_cast<float>(spec.scale),
          .q = buffers_->q.data() + tile.row * spec.q_width() + head_kv * spec.group() * spec.k_dim,
          .q_stride = spec.q_width(),
          .n_tokens = tile.n_tokens,
          .n_heads = spec.group(),
          .first_position = tile.slot,
          .pages = tile.sequence->page_table(pool_->GroupOf(layer)),
          .page_offset = pool_->Offset(layer, head_kv)};
}

/// softmax(scale * q . K) V of all heads, as the output product's input.
void AttentionBlock::Attend(StepWorker& worker, size_t layer) {
  const AttentionSpec& spec = hparams_.layers[layer].attention;
  const bool by_splits = SharesOutSplits(spec);
  const size_t n_splits = by_splits ? plan_->most_splits() : 1;
  worker.Enter(StepOp::kAttention);
  worker.ForEachTask(plan_->tiles().size() * spec.n_head_kv * n_splits, [&](size_t task) {
    const size_t split = task % n_splits;
    const size_t head_kv = task / n_splits % spec.n_head_kv;
    const size_t tile_index = task / n_splits / spec.n_head_kv;
    const AttentionTile& tile = plan_->tiles()[tile_index];
    // A part's wanted rows are its last.
    if (IsLast(layer) && plan_->PlaceOf(tile.row + tile.n_tokens - 1) == StepPlan::kUnwanted) {
      return;
    }
    const AttentionArgs args = ArgsOf(layer, tile, head_kv);
    const float* states = by_splits ? AttendOneSplit(args, spec, tile_index, head_kv, split)
                                    : AttendTile(worker, args);
    if (states != nullptr) FinishTile(layer, tile_index, head_kv, states);
  });
}

/// All splits of one tile and KV head, one after the other: the states of its queries.
const float* AttentionBlock::AttendTile(StepWorker& worker, const AttentionArgs& args) {
  float* states = worker.own().states.data();
  float* next = worker.own().next.data();
  AttendSplit(args, 0, states);
  for (size_t split = 1; split < SplitsAt(args.first_position + args.n_tokens - 1); ++split) {
    AttendSplit(args, split, next);
    MergeStates(args.head_dim, args.n_tokens * args.n_heads, next, states);
  }
  return states;
}

/// One split of a tile and KV head. Whoever does the last merges all in order and gets the states
/// of its queries, others null.
const float* AttentionBlock::AttendOneSplit(const AttentionArgs& args, const AttentionSpec& spec,
                                            size_t tile_index, size_t head_kv, size_t split) {
  const size_t n_splits = SplitsAt(args.first_position + args.n_tokens - 1);
  if (split >= n_splits) return nullptr;
  const size_t n_queries = args.n_tokens * args.n_heads;
  const size_t split_floats = n_queries * AttentionStateFloats(args.head_dim);
  const size_t first_query = plan_->tiles()[tile_index].row * spec.n_head + head_kv * n_queries;
  float* states = split_states_.data() +
                  first_query * plan_->most_splits() * AttentionStateFloats(args.head_dim);
  AttendSplit(args, split, states + split * split_floats);
  if (!splits_done_.Add(tile_index * spec.n_head_kv + head_kv, 1, n_splits)) return nullptr;
  for (size_t next = 1; next < n_splits; ++next) {
    MergeStates(args.head_dim, n_queries, states + next * split_floats, states);
  }
  return states;
}

/// Results of the queries of one tile and KV head. Whoever makes a tile whole makes the output
/// product's input of it.
void AttentionBlock::FinishTile(size_t layer, size_t tile_index, size_t head_kv,
                                const float* states) {
  const AttentionSpec& spec = hparams_.layers[layer].attention;
  const AttentionTile& tile = plan_->tiles()[tile_index];
  const size_t width = spec.out_width();
  for (size_t query = 0; query < tile.n_tokens * spec.group(); ++query) {
    const size_t row = tile.row + query / spec.group();
    const size_t head = head_kv * spec.group() + query % spec.group();
    FinishAttention(spec.k_dim, states + query * AttentionStateFloats(spec.k_dim),
                    buffers_->attention.data() + row * width + head * spec.v_dim);
  }
  if (!tiles_done_.Add(tile_index, 1, spec.n_head_kv)) return;
  for (size_t row = tile.row; row < tile.row + tile.n_tokens; ++row) {
    const size_t place = IsLast(layer) ? plan_->PlaceOf(row) : row;
    if (place == StepPlan::kUnwanted) continue;
    buffers_->attended.Write(place, buffers_->attention.data() + row * width, 0, width);
  }
}

}  // namespace quern
