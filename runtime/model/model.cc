#include "runtime/model/model.h"

#include <algorithm>
#include <string>
#include <unordered_set>

#include "gguf/base/printable.h"
#include "kernels/reference.h"
#include "runtime/machine/node_work.h"
#include "runtime/machine/thread_team.h"
#include "runtime/model/architecture.h"
#include "runtime/model/tensor_table.h"

namespace quern {

/// Finds and checks every tensor first, then packs them all in parallel; the first failure sticks.
class ModelLoader {
 public:
  ModelLoader(const GgufFile& file, Model& model) : file_(file), model_(model) {}

  Status Load(const LoadOptions& options) {
    model_.nodes_ = options.nodes;
    if (Status status = LoadVocabulary(options); !status) return status;
    if (Status status = CheckTensors(); !status) return status;
    if (options.mode == LoadMode::kPack) {
      if (Status status = Pack(options); !status) return status;
    } else {
      UseInPlace();
    }
    if (tied_) model_.tensors_.matrix(TensorRole::kOutput) = model_.token_embd();
    return {};
  }

  Status CheckTensors(const HParams& hparams) {
    model_.hparams_ = hparams;
    return CheckTensors();
  }

 private:
  /// A matrix of the file and where the model keeps it.
  struct Pending {
    const TensorInfo* tensor;
    WeightMatrix* matrix;
  };

  Status LoadVocabulary(const LoadOptions& options) {
    Result<HParams> hparams = HParams::Load(file_, options.families);
    if (!hparams) return Propagate(hparams);
    model_.hparams_ = std::move(*hparams);
    Result<Tokenizer> tokenizer = Tokenizer::Load(file_);
    if (!tokenizer) return Propagate(tokenizer);
    if (tokenizer->n_vocab() > model_.hparams_.n_vocab) {
      return Fail(ErrorCode::kCorruptFile, "{}: {} tokens but only {} rows in 'token_embd.weight'",
                  file_.name(), tokenizer->n_vocab(), model_.hparams_.n_vocab);
    }
    model_.tokenizer_.emplace(std::move(*tokenizer));
    if (!options.chat_template && file_.Find("tokenizer.chat_template") == nullptr) return {};
    Result<ChatTemplate> chat_template = ChatTemplate::Load(file_, options.chat_template);
    if (!chat_template) return Propagate(chat_template);
    model_.chat_template_.emplace(std::move(*chat_template));
    return {};
  }

  Status CheckTensors() {
    FindTensors();
    RefuseUnknownTensors();
    return status_;
  }

  void FindTensors() {
    const HParams& hparams = model_.hparams_;
    model_.layers_.resize(hparams.n_layer());
    for (const ModelTensor& wanted : TensorsOf(hparams)) {
      if (!status_) return;
      const std::string name = wanted.name();
      const TensorInfo* tensor = file_.FindTensor(name);
      if (tensor == nullptr && wanted.optional) continue;
      if (status_ = Check(tensor, name, wanted); !status_) return;
      used_.insert(name);
      Take(*tensor, wanted);
    }
    tied_ = !model_.tensors_.Has(TensorRole::kOutput);
  }

  /// Whether the tensor is there, of a type that runs and of its shape.
  Status Check(const TensorInfo* tensor, const std::string& name, const ModelTensor& wanted) const {
    if (tensor == nullptr) {
      return Fail(ErrorCode::kCorruptFile, "{}: no tensor '{}'", file_.name(), name);
    }
    if (!IsRunnable(tensor->type)) {
      return Fail(ErrorCode::kUnsupported,
                  "{}: tensor '{}' is of type {}, which Quern does not run", file_.name(), name,
                  NameOf(tensor->type));
    }
    if (tensor->n_cols() != wanted.n_cols || tensor->n_rows() != wanted.n_rows) {
      return Fail(ErrorCode::kCorruptFile, "{}: tensor '{}' is {} x {}, expected {} x {}",
                  file_.name(), name, tensor->n_cols(), tensor->n_rows(), wanted.n_cols,
                  wanted.n_rows);
    }
    return {};
  }

  /// Reads vectors at once; matrices wait until it is known where the model keeps them.
  void Take(const TensorInfo& tensor, const ModelTensor& wanted) {
    TensorSet& set = IsOfLayer(wanted.role) ? model_.layers_[wanted.layer] : model_.tensors_;
    switch (UseOf(wanted.role)) {
      case TensorUse::kMatrix:
      case TensorUse::kRouter: {
        WeightMatrix& matrix = set.matrix(wanted.role);
        matrix = {.type = tensor.type, .n_rows = wanted.n_rows, .n_cols = wanted.n_cols};
        pending_.push_back({&tensor, &matrix});
        break;
      }
      case TensorUse::kNorm:
      case TensorUse::kBias: {
        std::vector<float> values(wanted.n_cols);
        DequantizeRow(tensor.type, tensor.data.data(), wanted.n_cols, values.data());
        set.SetVector(wanted.role, std::move(values));
        break;
      }
      case TensorUse::kRopeDivisors:
        break;  // they are in the hyperparameters
    }
  }

  /// A tensor that the forward pass does not use would make answers silently wrong.
  void RefuseUnknownTensors() {
    for (const TensorInfo& tensor : file_.tensors()) {
      if (!status_) return;
      if (!used_.contains(std::string(tensor.name))) {
        status_ =
            Fail(ErrorCode::kUnsupported, "{}: tensor {} has no place in architecture {}",
                 file_.name(), Quoted(tensor.name), Quoted(model_.hparams_.architecture->name));
      }
    }
  }

  void UseInPlace() {
    model_.file_ = file_;
    for (const Pending& pending : pending_) {
      pending.matrix->layout = WeightLayout::kRows;
      pending.matrix->data = pending.tensor->data.data();
    }
  }

  Status Pack(const LoadOptions& options) {
    size_t bytes = 0;
    for (const Pending& pending : pending_)
      bytes += WeightArena::Rounded(pending.matrix->n_bytes());
    Result<WeightArena> arena = WeightArena::Create(bytes);
    if (!arena) return Propagate(arena);
    model_.arena_.emplace(std::move(*arena));

    ThreadTeam team(options.n_threads > 0 ? options.n_threads : AvailableThreads());
    size_t done = 0;
    for (const Pending& pending : pending_) {
      std::byte* packed = model_.arena_->Allocate(pending.matrix->n_bytes());
      pending.matrix->data = packed;
      PackMatrix(team, *pending.tensor, *pending.matrix, packed);
      done += pending.tensor->data.size();
      if (options.progress) {
        options.progress(static_cast<double>(done) /
                         static_cast<double>(std::max<size_t>(bytes, 1)));
      }
    }
    return {};
  }

  void PackMatrix(ThreadTeam& team, const TensorInfo& tensor, const WeightMatrix& matrix,
                  std::byte* packed) {
    const size_t group_bytes = PackedGroupBytes(matrix.type, matrix.n_cols);
    const size_t row_bytes = RowBytes(matrix.type, matrix.n_cols);
    // About 1 MiB a piece: enough to share out evenly, and the source pages of a piece are dropped
    // after it, so that the file and its packed copy are never resident together.
    const size_t piece = std::max<size_t>(1, (size_t{1} << 20) / group_bytes);
    NodeWork work(&model_.nodes(), 1);
    const auto groups_of = [&](size_t node) { return model_.GroupsOf(matrix, node); };
    const auto pack_piece = [&](const NodeWork::Chunk& chunk) {
      for (size_t group = chunk.begin; group < chunk.end; ++group) {
        const size_t row = group * kRowGroup;
        PackGroup(matrix.type, matrix.n_cols, std::min(kRowGroup, matrix.n_rows - row),
                  tensor.data.data() + row * row_bytes, packed + group * group_bytes);
      }
      const size_t first_row = chunk.begin * kRowGroup;
      const size_t last_row = std::min<size_t>(matrix.n_rows, chunk.end * kRowGroup);
      file_.DropPages(
          tensor.data.subspan(first_row * row_bytes, (last_row - first_row) * row_bytes));
    };
    team.ForEach(static_cast<size_t>(team.n_threads()), [&](size_t /*thread*/) {
      while (const auto chunk = work.Take(0, groups_of, [&](size_t /*left*/) { return piece; })) {
        pack_piece(*chunk);
      }
    });
  }

  const GgufFile& file_;
  Model& model_;
  Status status_;
  bool tied_ = false;
  std::vector<Pending> pending_;
  std::unordered_set<std::string> used_;
};

Result<std::shared_ptr<const Model>> Model::Load(const GgufFile& file, const LoadOptions& options) {
  // make_shared cannot reach the private constructor.
  std::shared_ptr<Model> model(new Model());
  if (Status status = ModelLoader(file, *model).Load(options); !status) return Propagate(status);
  return std::shared_ptr<const Model>(std::move(model));
}

Status Model::CheckTensors(const GgufFile& file, const HParams& hparams) {
  Model unfinished;
  return ModelLoader(file, unfinished).CheckTensors(hparams);
}

std::vector<const WeightMatrix*> Model::Matrices() const {
  std::vector<const WeightMatrix*> matrices = {&token_embd()};
  for (const TensorSet& layer : layers_) {
    const auto of_layer = layer.Matrices();
    matrices.insert(matrices.end(), of_layer.begin(), of_layer.end());
  }
  if (!is_tied()) matrices.push_back(&output());
  return matrices;
}

size_t Model::weight_bytes() const {
  size_t n_bytes = 0;
  for (const WeightMatrix* matrix : Matrices()) n_bytes += matrix->n_bytes();
  return n_bytes;
}

size_t Model::bytes_per_token() const {
  return weight_bytes() - (is_tied() ? 0 : token_embd().n_bytes());
}

size_t Model::macs_per_token() const {
  size_t macs = output().n_rows * output().n_cols;
  for (const TensorSet& layer : layers_) {
    for (const WeightMatrix* w : layer.Matrices()) macs += w->n_rows * w->n_cols;
  }
  return macs;
}

std::vector<Token> Model::EncodePrompt(std::string_view text) const {
  const std::optional<Token> bos = tokenizer_->bos();
  const bool has_bos = bos && text.starts_with(tokenizer_->Piece(*bos, true));
  return tokenizer_->Encode(text, {.add_special = !has_bos, .parse_special = true});
}

Result<std::string> Model::RenderChat(std::span<const ChatMessage> messages) const {
  if (!chat_template_) return Fail(ErrorCode::kUnsupported, "the model has no chat template");
  return chat_template_->Render(messages, /*add_generation_prompt=*/true);
}

Result<std::vector<Token>> Model::EncodeChat(std::span<const ChatMessage> messages) const {
  Result<std::string> text = RenderChat(messages);
  if (!text) return Propagate(text);
  return EncodePrompt(*text);
}

}  // namespace quern
