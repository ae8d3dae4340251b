#include "runtime/forward/executor.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <utility>
#include <vector>

#include "gguf/base/aligned_buffer.h"
#include "gguf/base/check.h"
#include "kernels/activations.h"
#include "kernels/attention.h"
#include "kernels/matmul.h"
#include "kernels/ops.h"
#include "runtime/forward/activation_rows.h"
#include "runtime/machine/node_work.h"
#include "runtime/machine/parts_done.h"

namespace quern {
namespace {

/// Tokens of one attention task: with 4 heads a group that makes 64 queries to share each K and V
/// tile.
constexpr size_t kTileTokens = 16;

/// Most floats of split attention's states, 256 MiB: 32 heads of 128 take 34 MB a row with a
/// context of a million tokens.
constexpr size_t kMostSplitFloats = size_t{64} << 20;

// What a chunk of a product gives are whole blocks of the next one's input.
static_assert(Model::kGroupUnit * kRowGroup % kActivationBlock == 0);
static_assert(Model::kGroupUnit * kRowGroup % kSquaresBlock == 0);

/// Phases of a layer, each shared out and with a barrier at its end: QKV, attention, its output,
/// gate and up, down.
constexpr size_t kPhasesPerLayer = 5;

constexpr size_t kUnwanted = static_cast<size_t>(-1);

/// A product of the phase's input with one matrix: out[row * out_stride + i] (+)= w[i] . row.
struct Product {
  const WeightMatrix& w;
  float* out;
  size_t out_stride;
  bool accumulate = false;
};

/// The rows of groups [begin, end) of the product with rows [0, n_rows) of `input`.
void MultiplyGroups(const Product& product, size_t begin, size_t end, const ActivationRows& input,
                    const float* factors, size_t n_rows) {
  MatMul({.w = product.w,
          .group_begin = begin,
          .group_end = end,
          .x = input.data(product.w),
          .x_stride = input.stride(product.w),
          .n_tokens = n_rows,
          .factors = factors,
          .out = product.out,
          .out_stride = product.out_stride,
          .accumulate = product.accumulate});
}

/// Consecutive tokens of one part that attend together.
struct AttentionTile {
  const Sequence* sequence;
  size_t row;  ///< of its first token in the batch
  size_t n_tokens;
  size_t position;  ///< of its first token in the sequence
};

}  // namespace

struct Executor::Impl {
  /// What one thread keeps for itself.
  struct Private {
    Private(size_t state_floats, size_t n_embd, size_t max_rows)
        : states(state_floats), next(state_floats), row(n_embd), factors(max_rows) {}
    AlignedBuffer<float> states;
    AlignedBuffer<float> next;
    AlignedBuffer<float> row;
    AlignedBuffer<float> factors;  ///< RMSNorm's, of each row
  };

  /// A thread in a step: its place, its memory, and how many shared phases it has passed.
  struct Worker {
    TeamMember& member;
    Private& own;
    StepTrace* trace;
    int layer = StepTrace::kNoLayer;
    size_t phase = 0;

    void Enter(StepOp op) const {
      if (trace != nullptr && !member.is_late()) trace->Begin(member.index(), op, layer);
    }
    void Barrier() const {
      Enter(StepOp::kWait);
      member.Barrier();
    }
  };

  Impl(std::shared_ptr<const Model> model_in, KvPool* pool_in, ThreadTeam* team_in, size_t rows)
      : model(std::move(model_in)),
        hp(model->hparams()),
        pool(pool_in),
        team(team_in),
        max_rows(rows),
        q_width(size_t{hp.n_head} * hp.head_dim),
        kv_width(size_t{hp.n_head_kv} * hp.head_dim),
        group(hp.n_head / hp.n_head_kv),
        state_floats(AttentionStateFloats(hp.head_dim)),
        x(rows * hp.n_embd),
        q(rows * q_width),
        k(rows * kv_width),
        v(rows * kv_width),
        attn(rows * q_width),
        gate(rows * hp.n_ff),
        up(rows * hp.n_ff),
        cos(rows * hp.n_rot / 2),
        sin(rows * hp.n_rot / 2),
        n_square_blocks((hp.n_embd + kSquaresBlock - 1) / kSquaresBlock),
        squares(rows * n_square_blocks),
        normed(rows, hp.n_embd),
        attended(rows, q_width),
        gated(rows, hp.n_ff),
        work(&model->nodes(), size_t{hp.n_layer} * kPhasesPerLayer + 1),
        heads_done(hp.n_head + 2 * hp.n_head_kv),
        splits_done(rows * hp.n_head_kv),
        tiles_done(rows) {
    for (const LayerWeights& layer : model->layers()) {
      for (const WeightMatrix* w : layer.Matrices()) {
        if (w == &layer.attn_output) {
          attended.AddReader(*w);
        } else if (w == &layer.ffn_down) {
          gated.AddReader(*w);
        } else {
          normed.AddReader(*w);
        }
      }
    }
    normed.AddReader(model->output());
    for (int i = 0; i < team->n_threads(); ++i) {
      own.emplace_back(kTileTokens * group * state_floats, hp.n_embd, rows);
    }
  }

  void Plan(std::span<const BatchPart> parts);
  void Run(TeamMember& member);
  void Embed(Worker& worker);
  void Layer(Worker& worker, size_t index);
  void FinishHeads(Worker& worker, size_t layer, size_t of_qkv, size_t first, size_t last);
  void Attend(Worker& worker, size_t layer);
  const float* AttendTile(Worker& worker, const AttentionArgs& args) const;
  const float* AttendOneSplit(const AttentionArgs& args, size_t tile_index, size_t head_kv,
                              size_t split);
  void MergeStates(size_t n_queries, const float* next, float* states) const;
  void KeepWanted(const Worker& worker);
  void Output(Worker& worker);

  bool IsLast(size_t layer) const { return layer + 1 == hp.n_layer; }
  const float* NormBefore(size_t layer) const;
  float FactorOf(size_t row) const;
  AttentionArgs ArgsOf(size_t layer, const AttentionTile& tile, size_t head_kv) const;
  void PrepareNormed(Worker& worker, const float* norm, size_t row, size_t first, size_t count);
  void ComputeFactors(Worker& worker, size_t n_rows) const;
  template <typename After>
  void Multiply(Worker& worker, StepOp op, const ActivationRows& input, const float* factors,
                size_t n_rows, std::initializer_list<Product> products, const After& after);
  template <typename PartOf, typename Body>
  void ForEachChunk(Worker& worker, size_t unit, const PartOf& part_of, const Body& body);
  template <typename Body>
  void ForEachTask(Worker& worker, size_t n, const Body& body);

  std::shared_ptr<const Model> model;
  const HParams& hp;
  KvPool* pool;
  ThreadTeam* team;
  StepTrace* trace = nullptr;
  size_t max_rows;
  size_t q_width;
  size_t kv_width;
  size_t group;         ///< query heads per KV head
  size_t state_floats;  ///< of one query's attention state

  // Rows of the step, [max_rows][width].
  AlignedBuffer<float> x;  ///< residual stream
  AlignedBuffer<float> q, k, v, attn, gate, up;
  AlignedBuffer<float> cos, sin;
  size_t n_square_blocks;
  AlignedBuffer<double> squares;  ///< of x, [max_rows][n_square_blocks]; see SumSquares
  ActivationRows normed;          ///< x times the next norm's weights, without RMSNorm's factor
  ActivationRows attended;        ///< attn
  ActivationRows gated;           ///< SwiGLU's output
  std::vector<Private> own;

  // The plan of the step.
  std::vector<Token> tokens;
  std::vector<size_t> positions;
  std::vector<AttentionTile> tiles;
  std::vector<size_t> wanted;  ///< rows whose logits are wanted, then those of hidden states
  std::vector<size_t> places;  ///< of each row among the wanted ones, or kUnwanted
  size_t n_logits = 0;         ///< how many wanted ones are of the first kind
  size_t most_splits = 1;
  bool split_attention = false;
  /// [tile][n_head_kv][most_splits][queries of the tile and KV head][state_floats]
  AlignedBuffer<float> split_states;
  AlignedBuffer<float> logits;
  AlignedBuffer<float> hidden;

  NodeWork work;          ///< of the phases that threads share out dynamically
  PartsDone heads_done;   ///< rows of each Q, K and V head
  PartsDone splits_done;  ///< of each tile and KV head
  PartsDone tiles_done;   ///< KV heads of each tile
};

Executor::Executor(std::shared_ptr<const Model> model, KvPool* pool, ThreadTeam* team,
                   size_t max_rows)
    : impl_(std::make_unique<Impl>(std::move(model), pool, team, max_rows)) {}

Executor::~Executor() = default;

size_t Executor::max_rows() const { return impl_->max_rows; }

void Executor::SetTrace(StepTrace* trace) { impl_->trace = trace; }

std::span<const float> Executor::Forward(std::span<const BatchPart> parts) {
  Impl& impl = *impl_;
  impl.Plan(parts);
  impl.team->Run([&](TeamMember& member) { impl.Run(member); });
  for (const BatchPart& part : parts) part.sequence->Advance(part.tokens.size());
  return {impl.logits.data(), impl.n_logits * impl.hp.n_vocab};
}

std::span<const float> Executor::hidden() const {
  return {impl_->hidden.data(), (impl_->wanted.size() - impl_->n_logits) * impl_->hp.n_embd};
}

void Executor::Impl::Plan(std::span<const BatchPart> parts) {
  tokens.clear();
  positions.clear();
  tiles.clear();
  wanted.clear();
  places.clear();
  n_logits = 0;
  most_splits = 1;
  for (const BatchPart& part : parts) {
    const size_t first_row = tokens.size();
    const size_t n_past = part.sequence->n_past();
    const size_t n = part.tokens.size();
    QUERN_DCHECK(part.sequence->pages().size() * kPageTokens >= n_past + n);
    for (size_t i = 0; i < n; ++i) {
      tokens.push_back(part.tokens[i]);
      positions.push_back(n_past + i);
      const bool is_wanted = i + part.n_logits + part.n_hidden >= n;
      places.push_back(is_wanted ? wanted.size() : kUnwanted);
      if (is_wanted) wanted.push_back(first_row + i);
    }
    QUERN_DCHECK(part.n_logits == 0 ||
                 (part.n_hidden == 0 && n_logits == wanted.size() - part.n_logits));
    n_logits += part.n_logits;
    for (size_t i = 0; i < n; i += kTileTokens) {
      tiles.push_back({part.sequence, first_row + i, std::min(kTileTokens, n - i), n_past + i});
    }
    most_splits = std::max(most_splits, SplitsAt(n_past + n - 1));
  }
  QUERN_DCHECK(!tokens.empty() && tokens.size() <= max_rows);

  // Few tasks and a long context: the splits of a tile are shared out as well, if their states
  // take no more memory than a file of odd shapes may claim. The arithmetic is the same either way.
  const size_t n_tasks = tiles.size() * hp.n_head_kv;
  const size_t states = tokens.size() * hp.n_head * most_splits * state_floats;
  split_attention = most_splits > 1 && n_tasks < 4 * static_cast<size_t>(team->n_threads()) &&
                    states <= kMostSplitFloats;
  if (split_attention && split_states.size() < states) split_states = AlignedBuffer<float>(states);
  if (logits.size() < n_logits * hp.n_vocab) logits = AlignedBuffer<float>(n_logits * hp.n_vocab);
  const size_t hidden_floats = (wanted.size() - n_logits) * hp.n_embd;
  if (hidden.size() < hidden_floats) hidden = AlignedBuffer<float>(hidden_floats);
  work.Reset();
}

void Executor::Impl::Run(TeamMember& member) {
  Worker worker{member, own[static_cast<size_t>(member.index())], trace};
  Embed(worker);
  worker.Barrier();
  for (size_t i = 0; i < hp.n_layer; ++i) Layer(worker, i);
  Output(worker);
  if (trace != nullptr) trace->End(member.index());
}

/// Residual rows from the embedding matrix, the first layer's input, and cos and sin of every row's
/// position, in double before rounding.
void Executor::Impl::Embed(Worker& worker) {
  worker.Enter(StepOp::kEmbed);
  const WeightMatrix& embd = model->token_embd();
  const size_t n_pairs = hp.n_rot / 2;
  const auto [begin, end] = worker.member.Share(tokens.size());
  for (size_t row = begin; row < end; ++row) {
    const auto token = static_cast<size_t>(tokens[row]);
    DequantizeRow(embd, token, x.data() + row * hp.n_embd);
    PrepareNormed(worker, NormBefore(0), row, 0, hp.n_embd);
    for (size_t i = 0; i < n_pairs; ++i) {
      const double angle = static_cast<double>(positions[row]) * hp.rope_freqs[i];
      cos.data()[row * n_pairs + i] = static_cast<float>(std::cos(angle));
      sin.data()[row * n_pairs + i] = static_cast<float>(std::sin(angle));
    }
  }
}

/// One decoder layer. After the last attention only the wanted rows go on.
void Executor::Impl::Layer(Worker& worker, size_t index) {
  const LayerWeights& layer = model->layers()[index];
  const float* factors = worker.own.factors.data();
  worker.layer = static_cast<int>(index);

  ComputeFactors(worker, tokens.size());
  Multiply(worker, StepOp::kAttnQkv, normed, factors, tokens.size(),
           {{layer.attn_q, q.data(), q_width},
            {layer.attn_k, k.data(), kv_width},
            {layer.attn_v, v.data(), kv_width}},
           [&](size_t of_qkv, size_t first, size_t last) {
             FinishHeads(worker, index, of_qkv, first, last);
           });
  worker.Barrier();

  const size_t n_rows = IsLast(index) ? wanted.size() : tokens.size();
  if (n_rows == 0) return;
  if (IsLast(index) && worker.member.index() == 0) KeepWanted(worker);
  Attend(worker, index);
  worker.Barrier();

  const auto prepare = [&](const float* norm, size_t first, size_t last) {
    worker.Enter(StepOp::kPrepare);
    for (size_t row = 0; row < n_rows; ++row) {
      PrepareNormed(worker, norm, row, first, last - first);
    }
  };
  Multiply(worker, StepOp::kAttnOutput, attended, nullptr, n_rows,
           {{layer.attn_output, x.data(), hp.n_embd, true}},
           [&](size_t /*product*/, size_t first, size_t last) {
             prepare(layer.ffn_norm.data(), first, last);
           });
  worker.Barrier();

  ComputeFactors(worker, n_rows);
  worker.Enter(StepOp::kFfnGateUp);
  const auto groups_of = [&](size_t node) { return model->GroupsOf(layer.ffn_gate, node); };
  ForEachChunk(worker, Model::kGroupUnit, groups_of, [&](const NodeWork::Chunk& chunk) {
    const auto [node, begin, end] = chunk;
    MultiplyGroups({layer.ffn_gate, gate.data(), hp.n_ff}, begin, end, normed, factors, n_rows);
    MultiplyGroups({layer.ffn_up, up.data(), hp.n_ff}, begin, end, normed, factors, n_rows);
    const size_t first = begin * kRowGroup;
    const size_t count = std::min<size_t>(hp.n_ff, end * kRowGroup) - first;
    for (size_t row = 0; row < n_rows; ++row) {
      float* g = gate.data() + row * hp.n_ff + first;
      SwiGlu(g, up.data() + row * hp.n_ff + first, count, g);
      gated.Write(row, g, first, count);
    }
  });
  worker.Barrier();

  Multiply(worker, StepOp::kFfnDown, gated, nullptr, n_rows,
           {{layer.ffn_down, x.data(), hp.n_embd, true}},
           [&](size_t /*product*/, size_t first, size_t last) {
             prepare(NormBefore(index + 1), first, last);
           });
  worker.Barrier();
}

/// The weights of the norm before a layer, or after the last.
const float* Executor::Impl::NormBefore(size_t layer) const {
  return (layer < hp.n_layer ? model->layers()[layer].attn_norm : model->output_norm()).data();
}

/// Columns [first, last) of Q, K or V (`of_qkv`: 0, 1, 2) are there, of all rows. Whoever makes a
/// head whole turns it by the rows' positions (Q and K), and writes it to the sequences' pages (K
/// and V).
void Executor::Impl::FinishHeads(Worker& worker, size_t layer, size_t of_qkv, size_t first,
                                 size_t last) {
  const size_t hd = hp.head_dim;
  const size_t n_pairs = hp.n_rot / 2;
  const std::array<size_t, 3> first_head = {0, hp.n_head, hp.n_head + hp.n_head_kv};
  const std::array<float*, 3> rows = {q.data(), k.data(), v.data()};
  const size_t width = of_qkv == 0 ? q_width : kv_width;
  for (size_t head = first / hd; head * hd < last; ++head) {
    const size_t n_done = std::min(last, (head + 1) * hd) - std::max(first, head * hd);
    if (!heads_done.Add(first_head[of_qkv] + head, n_done, hd)) continue;
    worker.Enter(StepOp::kRope);
    for (const AttentionTile& tile : tiles) {
      for (size_t row = tile.row; row < tile.row + tile.n_tokens; ++row) {
        float* values = rows[of_qkv] + row * width + head * hd;
        if (of_qkv < 2) {
          Rope(hp.rope_style, cos.data() + row * n_pairs, sin.data() + row * n_pairs, 1, hd,
               hp.n_rot, values);
        }
        if (of_qkv == 0) continue;
        const auto store = of_qkv == 1 ? StoreK : StoreV;
        const size_t position = positions[row];
        std::byte* page = tile.sequence->page_table()[position / kPageTokens];
        store(pool->types(), values, hd, position % kPageTokens, page + pool->Offset(layer, head));
      }
    }
  }
}

AttentionArgs Executor::Impl::ArgsOf(size_t layer, const AttentionTile& tile,
                                     size_t head_kv) const {
  return {.types = pool->types(),
          .head_dim = hp.head_dim,
          .scale = static_cast<float>(1.0 / std::sqrt(static_cast<double>(hp.head_dim))),
          .q = q.data() + tile.row * q_width + head_kv * group * hp.head_dim,
          .q_stride = q_width,
          .n_tokens = tile.n_tokens,
          .n_heads = group,
          .first_position = tile.position,
          .pages = tile.sequence->page_table(),
          .page_offset = pool->Offset(layer, head_kv)};
}

/// Whoever makes a tile's attention whole makes the next product's input of it.
void Executor::Impl::Attend(Worker& worker, size_t layer) {
  worker.Enter(StepOp::kAttention);
  const size_t n_splits = split_attention ? most_splits : 1;
  ForEachTask(worker, tiles.size() * hp.n_head_kv * n_splits, [&](size_t task) {
    const size_t split = task % n_splits;
    const size_t head_kv = task / n_splits % hp.n_head_kv;
    const size_t tile_index = task / n_splits / hp.n_head_kv;
    const AttentionTile& tile = tiles[tile_index];
    // A part's wanted tokens are its last.
    if (IsLast(layer) && places[tile.row + tile.n_tokens - 1] == kUnwanted) return;
    const AttentionArgs args = ArgsOf(layer, tile, head_kv);
    const float* states = split_attention ? AttendOneSplit(args, tile_index, head_kv, split)
                                          : AttendTile(worker, args);
    if (states == nullptr) return;
    for (size_t query = 0; query < tile.n_tokens * group; ++query) {
      const size_t row = tile.row + query / group;
      const size_t head = head_kv * group + query % group;
      FinishAttention(hp.head_dim, states + query * state_floats,
                      attn.data() + row * q_width + head * hp.head_dim);
    }
    if (!tiles_done.Add(tile_index, 1, hp.n_head_kv)) return;
    for (size_t row = tile.row; row < tile.row + tile.n_tokens; ++row) {
      const size_t place = IsLast(layer) ? places[row] : row;
      if (place != kUnwanted) attended.Write(place, attn.data() + row * q_width, 0, q_width);
    }
  });
}

/// All splits of one tile and KV head, one after the other: the states of its queries.
const float* Executor::Impl::AttendTile(Worker& worker, const AttentionArgs& args) const {
  float* states = worker.own.states.data();
  float* next = worker.own.next.data();
  AttendSplit(args, 0, states);
  for (size_t split = 1; split < SplitsAt(args.first_position + args.n_tokens - 1); ++split) {
    AttendSplit(args, split, next);
    MergeStates(args.n_tokens * args.n_heads, next, states);
  }
  return states;
}

/// One split of a tile and KV head. Whoever does the last merges all in order and gets the states
/// of its queries, others null.
const float* Executor::Impl::AttendOneSplit(const AttentionArgs& args, size_t tile_index,
                                            size_t head_kv, size_t split) {
  const size_t n_splits = SplitsAt(args.first_position + args.n_tokens - 1);
  if (split >= n_splits) return nullptr;
  const size_t n_queries = args.n_tokens * args.n_heads;
  const size_t split_floats = n_queries * state_floats;
  float* states = split_states.data() + (tiles[tile_index].row * hp.n_head + head_kv * n_queries) *
                                            most_splits * state_floats;
  AttendSplit(args, split, states + split * split_floats);
  if (!splits_done.Add(tile_index * hp.n_head_kv + head_kv, 1, n_splits)) return nullptr;
  for (size_t next = 1; next < n_splits; ++next) {
    MergeStates(n_queries, states + next * split_floats, states);
  }
  return states;
}

void Executor::Impl::MergeStates(size_t n_queries, const float* next, float* states) const {
  for (size_t i = 0; i < n_queries; ++i) {
    MergeAttention(hp.head_dim, next + i * state_floats, states + i * state_floats);
  }
}

/// Moves the wanted rows of x to the front, in order.
void Executor::Impl::KeepWanted(const Worker& worker) {
  worker.Enter(StepOp::kPrepare);
  for (size_t i = 0; i < wanted.size(); ++i) {
    if (wanted[i] == i) continue;
    std::copy_n(x.data() + wanted[i] * hp.n_embd, hp.n_embd, x.data() + i * hp.n_embd);
  }
}

/// Hidden states where they are wanted, and logits where those are.
void Executor::Impl::Output(Worker& worker) {
  worker.layer = StepTrace::kNoLayer;
  worker.Enter(StepOp::kPrepare);
  const auto [begin, end] = worker.member.Share(wanted.size() - n_logits);
  for (size_t i = begin; i < end; ++i) {
    const size_t row = n_logits + i;
    Weigh(x.data() + row * hp.n_embd, model->output_norm().data(), FactorOf(row), hp.n_embd,
          hidden.data() + i * hp.n_embd);
  }
  if (n_logits == 0) return;
  ComputeFactors(worker, n_logits);
  Multiply(worker, StepOp::kOutput, normed, worker.own.factors.data(), n_logits,
           {{model->output(), logits.data(), hp.n_vocab}},
           [](size_t /*product*/, size_t /*first*/, size_t /*last*/) {});
}

/// Makes of columns of x what the products after the norm of weights `norm` take.
void Executor::Impl::PrepareNormed(Worker& worker, const float* norm, size_t row, size_t first,
                                   size_t count) {
  const float* values = x.data() + row * hp.n_embd + first;
  SumSquares(values, count, squares.data() + row * n_square_blocks + first / kSquaresBlock);
  Weigh(values, norm + first, 1, count, worker.own.row.data());
  normed.Write(row, worker.own.row.data(), first, count);
}

/// Each thread does so for itself: a row of 4096 columns takes 30 ns.
void Executor::Impl::ComputeFactors(Worker& worker, size_t n_rows) const {
  if (worker.member.is_late()) return;
  worker.Enter(StepOp::kPrepare);
  for (size_t row = 0; row < n_rows; ++row) worker.own.factors.data()[row] = FactorOf(row);
}

float Executor::Impl::FactorOf(size_t row) const {
  return RmsFactor(squares.data() + row * n_square_blocks, hp.n_embd, hp.rms_eps);
}

/// All products of one input, shared out over the row groups of all their matrices together.
/// after(product, first, last): columns [first, last) of that product are there.
template <typename After>
void Executor::Impl::Multiply(Worker& worker, StepOp op, const ActivationRows& input,
                              const float* factors, size_t n_rows,
                              std::initializer_list<Product> products, const After& after) {
  // A node's groups of all products, one after the other.
  const auto part_of = [&](size_t node) {
    size_t n_groups = 0;
    for (const Product& product : products) {
      const auto [first, last] = model->GroupsOf(product.w, node);
      n_groups += last - first;
    }
    return std::pair<size_t, size_t>(0, n_groups);
  };
  ForEachChunk(worker, Model::kGroupUnit, part_of, [&](const NodeWork::Chunk& chunk) {
    size_t done = 0;  // groups of the products before
    for (size_t i = 0; i < products.size(); ++i) {
      const Product& product = products.begin()[i];
      const auto [first, last] = model->GroupsOf(product.w, chunk.node);
      const size_t from = std::max(chunk.begin, done);
      const size_t to = std::min(chunk.end, done + last - first);
      if (from < to) {
        const size_t begin = first + from - done;
        const size_t end = first + to - done;
        worker.Enter(op);
        MultiplyGroups(product, begin, end, input, factors, n_rows);
        after(i, begin * kRowGroup, std::min(product.w.n_rows, end * kRowGroup));
      }
      done += last - first;
    }
  });
}

/// Hands out the items of each node in chunks of a multiple of `unit` to whoever is free: a third
/// of a thread's share of what is left at a time, so that the last ones are small and nobody waits
/// long.
template <typename PartOf, typename Body>
void Executor::Impl::ForEachChunk(Worker& worker, size_t unit, const PartOf& part_of,
                                  const Body& body) {
  const size_t phase = worker.phase++;
  const size_t n_threads =
      std::max<size_t>(1, static_cast<size_t>(worker.member.size()) / model->nodes().size());
  const auto chunk_of = [&](size_t left) { return (left / (3 * unit * n_threads) + 1) * unit; };
  while (const auto chunk = work.Take(phase, part_of, chunk_of)) body(*chunk);
}

/// Hands out tasks 0 to n - 1, which are no node's, in such chunks.
template <typename Body>
void Executor::Impl::ForEachTask(Worker& worker, size_t n, const Body& body) {
  const auto part_of = [&](size_t node) { return std::pair<size_t, size_t>(0, node == 0 ? n : 0); };
  ForEachChunk(worker, 1, part_of, [&](const NodeWork::Chunk& chunk) {
    for (size_t i = chunk.begin; i < chunk.end; ++i) body(i);
  });
}

}  // namespace quern
