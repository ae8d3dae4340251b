// A loaded model: hyperparameters, packed weights, tokenizer and chat template, immutable and
// shared by all.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "gguf/base/result.h"
#include "gguf/gguf_file.h"
#include "kernels/matmul.h"
#include "runtime/machine/memory_nodes.h"
#include "runtime/model/hparams.h"
#include "runtime/model/tensor_set.h"
#include "runtime/model/weight_arena.h"
#include "runtime/text/chat_template.h"
#include "runtime/text/tokenizer.h"

namespace quern {

/// Where a model keeps its weights.
enum class LoadMode : uint8_t {
  kMmap,  ///< in the file's mapping: ready at once, in memory that processes share
  kPack,  ///< in memory of its own, in the layout that runs fastest
};

struct LoadOptions {
  LoadMode mode = LoadMode::kMmap;
  int n_threads = 0;  ///< 0: AvailableThreads()
  /// In the place of the file's; Jinja.
  std::optional<std::string> chat_template = std::nullopt;
  /// With kPack, called with the share done, 0 to 1, from the loading thread.
  std::function<void(double)> progress = nullptr;
  MemoryNodes nodes = MemoryNodes::OfMachine();
  Families families{};  ///< that the file may be of; none: all
};

class Model {
 public:
  /// Reads and checks every tensor. With kPack, packs them too, and needs the file no more; with
  /// kMmap the model keeps the file, whose memory FromMemory was given must then outlive it.
  /// Errors name the file and the key or tensor, what was found and what was expected.
  static Result<std::shared_ptr<const Model>> Load(const GgufFile& file,
                                                   const LoadOptions& options = {});
  /// Whether Load would find each tensor that the model needs, of its shape and a type that runs,
  /// and no other. Errors: as Load's.
  static Status CheckTensors(const GgufFile& file, const HParams& hparams);

  const HParams& hparams() const { return hparams_; }
  const Tokenizer& tokenizer() const { return *tokenizer_; }
  /// Null when the file has no template.
  const ChatTemplate* chat_template() const { return chat_template_ ? &*chat_template_ : nullptr; }

  /// The tokens of a prompt text: special tokens are read as such, and BOS is put before it unless
  /// the text has it already, as some chat templates print it.
  std::vector<Token> EncodePrompt(std::string_view text) const;

  /// The prompt of a conversation, ready for the answer: its text and its tokens. Errors:
  /// kUnsupported without a template, and those of ChatTemplate::Render.
  Result<std::string> RenderChat(std::span<const ChatMessage> messages) const;
  Result<std::vector<Token>> EncodeChat(std::span<const ChatMessage> messages) const;

  /// Of what stands outside the layers.
  const TensorSet& tensors() const { return tensors_; }
  /// Of each layer.
  const std::vector<TensorSet>& layers() const { return layers_; }
  const WeightMatrix& token_embd() const { return tensors_.matrix(TensorRole::kTokenEmbd); }
  /// token_embd when tied.
  const WeightMatrix& output() const { return tensors_.matrix(TensorRole::kOutput); }

  const MemoryNodes& nodes() const { return nodes_; }
  /// Row groups that are handed out together: the kernels' panels are of two.
  static constexpr size_t kGroupUnit = 2;
  /// The row groups [first, second) of a matrix that were packed on a node, where its threads came
  /// in time.
  std::pair<size_t, size_t> GroupsOf(const WeightMatrix& w, size_t node) const {
    return nodes_.Share(w.n_groups(), node, kGroupUnit);
  }
  /// Every matrix, those of one memory once.
  std::vector<const WeightMatrix*> Matrices() const;
  /// Bytes of all matrices.
  size_t weight_bytes() const;
  /// Bytes of weights that decoding one token reads: all, less the embeddings of all other tokens.
  size_t bytes_per_token() const;
  /// Weights that are multiplied for one token whose logits are wanted.
  size_t macs_per_token() const;

 private:
  friend class ModelLoader;
  Model() = default;
  bool is_tied() const { return output().data == token_embd().data; }
  HParams hparams_;
  MemoryNodes nodes_;
  std::optional<Tokenizer> tokenizer_;
  std::optional<ChatTemplate> chat_template_;
  std::optional<GgufFile> file_;      ///< with kMmap
  std::optional<WeightArena> arena_;  ///< with kPack
  TensorSet tensors_;
  std::vector<TensorSet> layers_;
};

}  // namespace quern
