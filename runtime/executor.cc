#include "runtime/executor.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <utility>
#include <vector>

#include "gguf/check.h"
#include "kernels/activations.h"
#include "kernels/attention.h"
#include "kernels/matmul.h"
#include "kernels/ops.h"
#include "runtime/aligned_buffer.h"
#include "runtime/node_work.h"

namespace quern {
namespace {

/// Up to this many rows each thread prepares all of them for itself, which costs less than a
/// barrier would (norm and rounding of 4096 elements take about 1.5 us).
constexpr size_t kPrivateRows = 4;

/// Tokens of one attention task: with 4 heads a group that makes 64 queries to share each K and V
/// tile.
constexpr size_t kTileTokens = 16;

/// Most floats of split attention's states, 256 MiB: 32 heads of 128 take 34 MB a row with a
/// context of a million tokens.
constexpr size_t kMostSplitFloats = size_t{64} << 20;

// What a chunk of ffn_gate and ffn_up gives are whole blocks of ffn_down's input.
static_assert(Model::kGroupUnit * kRowGroup % kActivationBlock == 0);

/// Shared-out phases of a layer: QKV, attention, its output, gate and up, down.
constexpr size_t kPhasesPerLayer = 5;

constexpr std::array<ActivationKind, 2> kKinds = {ActivationKind::kF32, ActivationKind::kQ8};

/// The input rows of a product in each form that its weights ask for.
struct Activations {
  std::array<std::byte*, kKinds.size()> rows{};
  std::array<size_t, kKinds.size()> stride{};
};

/// The widest input that each kind of activations gets; 0 for kinds that no matrix asks for.
using Widths = std::array<size_t, kKinds.size()>;

void Widen(Widths& widths, const WeightMatrix& w) {
  size_t& widest = widths[static_cast<size_t>(ActivationKindOf(w.type))];
  widest = std::max(widest, w.n_cols);
}

/// Of all matrices but ffn_down.
Widths WidestInputs(const Model& model) {
  Widths widths{};
  for (const LayerWeights& layer : model.layers()) {
    for (const WeightMatrix* w : layer.Matrices()) {
      if (w != &layer.ffn_down) Widen(widths, *w);
    }
  }
  Widen(widths, model.output());
  return widths;
}

Widths WidestFfnDownInputs(const Model& model) {
  Widths widths{};
  for (const LayerWeights& layer : model.layers()) Widen(widths, layer.ffn_down);
  return widths;
}

/// Memory for `n_rows` prepared rows of at most `widest` columns in each form.
class ActivationBuffer {
 public:
  ActivationBuffer(size_t n_rows, const Widths& widest) {
    for (size_t i = 0; i < kKinds.size(); ++i) {
      if (widest[i] == 0) continue;
      memory_[i] = AlignedBuffer<std::byte>(n_rows * ActivationRowBytes(kKinds[i], widest[i]));
    }
  }
  /// `kinds`: those to be written and read, a bit each; Q8 has no rows of just any width.
  Activations View(size_t n_cols, unsigned kinds) {
    Activations view;
    for (size_t i = 0; i < kKinds.size(); ++i) {
      if ((kinds >> i & 1U) == 0) continue;
      view.rows[i] = memory_[i].data();
      view.stride[i] = ActivationRowBytes(kKinds[i], n_cols);
    }
    return view;
  }

 private:
  std::array<AlignedBuffer<std::byte>, kKinds.size()> memory_;
};

/// A product of the current input with one matrix: out[row * out_stride + i] (+)= w[i] .
/// input[row].
struct Product {
  const WeightMatrix& w;
  float* out;
  size_t out_stride;
  bool accumulate;
};

/// Consecutive tokens of one part that attend together.
struct AttentionTile {
  const Sequence* sequence;
  size_t row;  ///< of its first token in the batch
  size_t n_tokens;
  size_t position;  ///< of its first token in the sequence
};

/// Writes `count` columns of row `row` from `first` on, in each form that `kinds` names.
void PrepareRow(const Activations& prepared, unsigned kinds, size_t row, const float* values,
                size_t first, size_t count) {
  for (size_t kind = 0; kind < kKinds.size(); ++kind) {
    if ((kinds >> kind & 1U) == 0) continue;
    PrepareActivationColumns(kKinds[kind], values, first, count,
                             prepared.rows[kind] + row * prepared.stride[kind]);
  }
}

/// Which forms of input a set of matrices needs, as a bit per kind.
unsigned KindsOf(std::initializer_list<const WeightMatrix*> matrices) {
  unsigned kinds = 0;
  for (const WeightMatrix* w : matrices)
    kinds |= 1U << static_cast<unsigned>(ActivationKindOf(w->type));
  return kinds;
}

}  // namespace

struct Executor::Impl {
  /// What one thread keeps for itself.
  struct Private {
    Private(const Widths& widest, size_t state_floats, size_t n_embd)
        : activations(kPrivateRows, widest),
          states(state_floats),
          next(state_floats),
          row(n_embd) {}
    ActivationBuffer activations;
    AlignedBuffer<float> states;
    AlignedBuffer<float> next;
    AlignedBuffer<float> row;
  };

  /// A thread in a step: its place, its memory, and how many shared phases it has passed.
  struct Worker {
    TeamMember& member;
    Private& own;
    size_t n_rows;  ///< rows still worked on: all, and after the last attention the wanted ones
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
        shared(rows, WidestInputs(*model)),
        ffn(rows, WidestFfnDownInputs(*model)),
        work(&model->nodes(), size_t{hp.n_layer} * kPhasesPerLayer + 1) {
    const Widths widest = WidestInputs(*model);
    for (int i = 0; i < team->n_threads(); ++i) {
      own.emplace_back(widest, kTileTokens * group * state_floats, hp.n_embd);
    }
  }

  void Plan(std::span<const BatchPart> parts);
  void Run(TeamMember& member);
  void Embed(Worker& worker);
  void Layer(Worker& worker, size_t index);
  void RotateAndStore(Worker& worker, size_t layer);
  void Attend(Worker& worker, size_t layer);
  void AttendTile(Worker& worker, size_t layer, const AttentionTile& tile, size_t head_kv);
  void AttendSplits(Worker& worker, size_t layer);
  void KeepWanted(Worker& worker);
  void Output(Worker& worker);

  AttentionArgs ArgsOf(size_t layer, const AttentionTile& tile, size_t head_kv) const;
  Activations Prepare(Worker& worker, const float* rows, size_t count, size_t n_cols,
                      const float* norm, unsigned kinds);
  void Multiply(Worker& worker, StepOp op, const Activations& input, size_t n_tokens,
                std::initializer_list<Product> products);
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
  ActivationBuffer shared;
  ActivationBuffer ffn;  ///< input of ffn_down
  std::vector<Private> own;

  // The plan of the step.
  std::vector<Token> tokens;
  std::vector<size_t> positions;
  std::vector<AttentionTile> tiles;
  std::vector<size_t> wanted;  ///< rows whose logits are wanted, then those of hidden states
  size_t n_logits = 0;         ///< how many of them are of the first kind
  size_t most_splits = 1;
  bool split_attention = false;
  AlignedBuffer<float> split_states;  ///< [rows][n_head][most_splits][state_floats]
  AlignedBuffer<float> logits;
  AlignedBuffer<float> hidden;

  NodeWork work;  ///< of the phases that threads share out dynamically
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
      if (i + part.n_logits + part.n_hidden >= n) wanted.push_back(first_row + i);
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
  Worker worker{member, own[static_cast<size_t>(member.index())], tokens.size(), trace};
  Embed(worker);
  worker.Barrier();
  for (size_t i = 0; i < hp.n_layer; ++i) Layer(worker, i);
  Output(worker);
  if (trace != nullptr) trace->End(member.index());
}

/// Residual rows from the embedding matrix, and cos and sin of every row's position, in double
/// before rounding.
void Executor::Impl::Embed(Worker& worker) {
  worker.Enter(StepOp::kEmbed);
  const WeightMatrix& embd = model->token_embd();
  const size_t n_pairs = hp.n_rot / 2;
  const auto [begin, end] = worker.member.Share(tokens.size());
  for (size_t row = begin; row < end; ++row) {
    const auto token = static_cast<size_t>(tokens[row]);
    DequantizeRow(embd, token, x.data() + row * hp.n_embd);
    for (size_t i = 0; i < n_pairs; ++i) {
      const double angle = static_cast<double>(positions[row]) * hp.rope_freqs[i];
      cos.data()[row * n_pairs + i] = static_cast<float>(std::cos(angle));
      sin.data()[row * n_pairs + i] = static_cast<float>(std::sin(angle));
    }
  }
}

/// One decoder layer. Each block below ends with a barrier, so its results are there for the next.
void Executor::Impl::Layer(Worker& worker, size_t index) {
  const LayerWeights& layer = model->layers()[index];
  const size_t& n_rows = worker.n_rows;
  worker.layer = static_cast<int>(index);

  Activations input = Prepare(worker, x.data(), n_rows, hp.n_embd, layer.attn_norm.data(),
                              KindsOf({&layer.attn_q, &layer.attn_k, &layer.attn_v}));
  Multiply(worker, StepOp::kAttnQkv, input, n_rows,
           {{layer.attn_q, q.data(), q_width, false},
            {layer.attn_k, k.data(), kv_width, false},
            {layer.attn_v, v.data(), kv_width, false}});
  worker.Barrier();

  RotateAndStore(worker, index);
  worker.Barrier();

  Attend(worker, index);
  worker.Barrier();

  if (index + 1 == hp.n_layer) KeepWanted(worker);
  if (n_rows == 0) return;
  input = Prepare(worker, attn.data(), n_rows, q_width, nullptr, KindsOf({&layer.attn_output}));
  Multiply(worker, StepOp::kAttnOutput, input, n_rows,
           {{layer.attn_output, x.data(), hp.n_embd, true}});
  worker.Barrier();

  input = Prepare(worker, x.data(), n_rows, hp.n_embd, layer.ffn_norm.data(),
                  KindsOf({&layer.ffn_gate, &layer.ffn_up}));
  const WeightMatrix& gate_w = layer.ffn_gate;
  const WeightMatrix& up_w = layer.ffn_up;
  const unsigned down_kinds = KindsOf({&layer.ffn_down});
  const Activations down_input = ffn.View(hp.n_ff, down_kinds);
  worker.Enter(StepOp::kFfnGateUp);
  const auto groups_of = [&](size_t node) { return model->GroupsOf(gate_w, node); };
  ForEachChunk(worker, Model::kGroupUnit, groups_of, [&](const NodeWork::Chunk& chunk) {
    const auto [node, begin, end] = chunk;
    for (const auto& [w, out] : {std::pair{&gate_w, gate.data()}, std::pair{&up_w, up.data()}}) {
      const auto kind = static_cast<size_t>(ActivationKindOf(w->type));
      MatMul({*w, begin, end, input.rows[kind], input.stride[kind], n_rows, out, hp.n_ff, false});
    }
    const size_t first = begin * kRowGroup;
    const size_t count = std::min<size_t>(hp.n_ff, end * kRowGroup) - first;
    for (size_t row = 0; row < n_rows; ++row) {
      float* g = gate.data() + row * hp.n_ff + first;
      SwiGlu(g, up.data() + row * hp.n_ff + first, count, g);
      PrepareRow(down_input, down_kinds, row, g, first, count);
    }
  });
  worker.Barrier();

  Multiply(worker, StepOp::kFfnDown, down_input, n_rows,
           {{layer.ffn_down, x.data(), hp.n_embd, true}});
  worker.Barrier();
}

/// Turns Q and K by their positions and writes K and V to the sequences' pages.
void Executor::Impl::RotateAndStore(Worker& worker, size_t layer) {
  worker.Enter(StepOp::kRope);
  const size_t n_pairs = hp.n_rot / 2;
  const size_t hd = hp.head_dim;
  const auto [begin, end] = worker.member.Share(tokens.size() * hp.n_head_kv);
  size_t tile = 0;
  for (size_t i = begin; i < end; ++i) {
    const size_t row = i / hp.n_head_kv;
    const size_t head = i % hp.n_head_kv;
    while (row >= tiles[tile].row + tiles[tile].n_tokens) ++tile;
    const float* row_cos = cos.data() + row * n_pairs;
    const float* row_sin = sin.data() + row * n_pairs;
    float* q_heads = q.data() + row * q_width + head * group * hd;
    float* k_head = k.data() + row * kv_width + head * hd;
    Rope(hp.rope_style, row_cos, row_sin, group, hd, hp.n_rot, q_heads);
    Rope(hp.rope_style, row_cos, row_sin, 1, hd, hp.n_rot, k_head);
    std::byte* page = tiles[tile].sequence->page_table()[positions[row] / kPageTokens];
    StoreKv(pool->types(), k_head, v.data() + row * kv_width + head * hd, hd,
            positions[row] % kPageTokens, page + pool->Offset(layer, head));
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

void Executor::Impl::Attend(Worker& worker, size_t layer) {
  worker.Enter(StepOp::kAttention);
  if (split_attention) {
    AttendSplits(worker, layer);
    return;
  }
  ForEachTask(worker, tiles.size() * hp.n_head_kv, [&](size_t i) {
    AttendTile(worker, layer, tiles[i / hp.n_head_kv], i % hp.n_head_kv);
  });
}

/// All splits of one tile and KV head, one after the other.
void Executor::Impl::AttendTile(Worker& worker, size_t layer, const AttentionTile& tile,
                                size_t head_kv) {
  const AttentionArgs args = ArgsOf(layer, tile, head_kv);
  const size_t n_queries = tile.n_tokens * group;
  float* states = worker.own.states.data();
  float* next = worker.own.next.data();
  AttendSplit(args, 0, states);
  for (size_t split = 1; split < SplitsAt(tile.position + tile.n_tokens - 1); ++split) {
    AttendSplit(args, split, next);
    for (size_t i = 0; i < n_queries; ++i) {
      MergeAttention(hp.head_dim, next + i * state_floats, states + i * state_floats);
    }
  }
  for (size_t i = 0; i < n_queries; ++i) {
    const size_t row = tile.row + i / group;
    const size_t head = head_kv * group + i % group;
    FinishAttention(hp.head_dim, states + i * state_floats,
                    attn.data() + row * q_width + head * hp.head_dim);
  }
}

/// Every split is a task of its own; after a barrier each query's splits are merged in order.
void Executor::Impl::AttendSplits(Worker& worker, size_t layer) {
  const size_t n_tasks = tiles.size() * hp.n_head_kv * most_splits;
  const auto state_of = [&](size_t row, size_t head, size_t split) {
    return split_states.data() + ((row * hp.n_head + head) * most_splits + split) * state_floats;
  };
  ForEachTask(worker, n_tasks, [&](size_t i) {
    const size_t split = i % most_splits;
    const size_t head_kv = i / most_splits % hp.n_head_kv;
    const AttentionTile& tile = tiles[i / most_splits / hp.n_head_kv];
    if (split >= SplitsAt(tile.position + tile.n_tokens - 1)) return;
    float* states = worker.own.states.data();
    AttendSplit(ArgsOf(layer, tile, head_kv), split, states);
    for (size_t query = 0; query < tile.n_tokens * group; ++query) {
      std::memcpy(state_of(tile.row + query / group, head_kv * group + query % group, split),
                  states + query * state_floats, state_floats * sizeof(float));
    }
  });
  worker.Barrier();
  worker.Enter(StepOp::kAttention);
  const auto [begin, end] = worker.member.Share(tokens.size() * hp.n_head);
  for (size_t i = begin; i < end; ++i) {
    const size_t row = i / hp.n_head;
    const size_t head = i % hp.n_head;
    float* state = state_of(row, head, 0);
    for (size_t split = 1; split < SplitsAt(positions[row]); ++split) {
      MergeAttention(hp.head_dim, state_of(row, head, split), state);
    }
    FinishAttention(hp.head_dim, state, attn.data() + row * q_width + head * hp.head_dim);
  }
}

/// Moves the rows that are wanted to the front: nothing else is needed after the last
/// attention.
void Executor::Impl::KeepWanted(Worker& worker) {
  if (wanted.size() < tokens.size()) {
    worker.Enter(StepOp::kPrepare);
    if (worker.member.index() == 0) {
      for (size_t i = 0; i < wanted.size(); ++i) {
        std::memmove(x.data() + i * hp.n_embd, x.data() + wanted[i] * hp.n_embd,
                     hp.n_embd * sizeof(float));
        std::memmove(attn.data() + i * q_width, attn.data() + wanted[i] * q_width,
                     q_width * sizeof(float));
      }
    }
    worker.Barrier();
  }
  worker.n_rows = wanted.size();
}

/// Final norm, and output matrix for the rows whose logits are wanted.
void Executor::Impl::Output(Worker& worker) {
  worker.layer = StepTrace::kNoLayer;
  const auto [begin, end] = worker.member.Share(worker.n_rows - n_logits);
  for (size_t i = begin; i < end; ++i) {
    RmsNorm(x.data() + (n_logits + i) * hp.n_embd, model->output_norm().data(), hp.n_embd,
            hp.rms_eps, hidden.data() + i * hp.n_embd);
  }
  worker.n_rows = n_logits;
  if (worker.n_rows == 0) return;
  const WeightMatrix& output = model->output();
  const Activations input = Prepare(worker, x.data(), worker.n_rows, hp.n_embd,
                                    model->output_norm().data(), KindsOf({&output}));
  Multiply(worker, StepOp::kOutput, input, worker.n_rows,
           {{output, logits.data(), hp.n_vocab, false}});
}

/// Rows in the forms that `kinds` names, after RMSNorm with weights `norm` unless it is null. Few
/// rows go to the thread's own memory; many are shared out, and a barrier follows.
Activations Executor::Impl::Prepare(Worker& worker, const float* rows, size_t count, size_t n_cols,
                                    const float* norm, unsigned kinds) {
  worker.Enter(StepOp::kPrepare);
  const bool is_private = count <= kPrivateRows;
  const Activations prepared =
      is_private ? worker.own.activations.View(n_cols, kinds) : shared.View(n_cols, kinds);
  const auto [begin, end] = is_private && !worker.member.is_late()
                                ? std::pair<size_t, size_t>(0, count)
                                : worker.member.Share(count);
  for (size_t i = begin; i < end; ++i) {
    const float* row = rows + i * n_cols;
    if (norm != nullptr) {
      RmsNorm(row, norm, n_cols, hp.rms_eps, worker.own.row.data());
      row = worker.own.row.data();
    }
    PrepareRow(prepared, kinds, i, row, 0, n_cols);
  }
  if (!is_private) worker.Barrier();
  return prepared;
}

/// All products of one input, shared out over the row groups of all their matrices together.
void Executor::Impl::Multiply(Worker& worker, StepOp op, const Activations& input, size_t n_tokens,
                              std::initializer_list<Product> products) {
  worker.Enter(op);
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
    for (const Product& product : products) {
      const auto [first, last] = model->GroupsOf(product.w, chunk.node);
      const size_t from = std::max(chunk.begin, done);
      const size_t to = std::min(chunk.end, done + last - first);
      if (from < to) {
        const auto kind = static_cast<size_t>(ActivationKindOf(product.w.type));
        MatMul({product.w, first + from - done, first + to - done, input.rows[kind],
                input.stride[kind], n_tokens, product.out, product.out_stride, product.accumulate});
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
