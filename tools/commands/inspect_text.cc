// `quern inspect` for people: tables, long values cut.
#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <type_traits>

#include "gguf/base/format_number.h"
#include "gguf/base/printable.h"
#include "kernels/matmul.h"
#include "runtime/model/architecture.h"
#include "tools/commands/inspect.h"
#include "tools/options/shared_options.h"
#include "tools/terminal/text_table.h"

namespace quern {
namespace {

using Align = TextTable::Align;

// A value fits beside key and type on a terminal of about 120 columns.
constexpr size_t kMaxValueBytes = 60;
constexpr size_t kMaxElementBytes = 24;
constexpr size_t kWhole = std::numeric_limits<size_t>::max();

template <typename T>
std::string FormatNumber(MetaType type, T number) {
  if constexpr (std::is_same_v<T, bool>) {
    return number ? "true" : "false";
  } else if (type == MetaType::kFloat32) {
    // The shortest digits that give the number back in its own width: 0.1, not 0.10000000149011612.
    return fmt::format("{}", static_cast<float>(number));
  } else {
    return fmt::format("{}", number);
  }
}

std::string FormatArray(const MetaArray& array, bool full);

std::string FormatElement(const MetaArray& array, size_t i, bool full) {
  if (const auto* strings = std::get_if<std::vector<std::string_view>>(&array.elements)) {
    return Quoted((*strings)[i], full ? kWhole : kMaxElementBytes);
  }
  if (const auto* arrays = std::get_if<std::vector<MetaArray>>(&array.elements)) {
    return FormatArray((*arrays)[i], full);
  }
  return std::visit([&](auto number) { return FormatNumber(array.element_type, number); },
                    array.number(i));
}

std::string FormatArray(const MetaArray& array, bool full) {
  std::string text = "[";
  for (size_t i = 0; i < array.size(); ++i) {
    const std::string next = FormatElement(array, i, full);
    if (i != 0) text += ", ";
    if (!full && text.size() + next.size() > kMaxValueBytes) {
      text += "...";
      break;
    }
    text += next;
  }
  return text + "]";
}

std::string FormatValue(const MetaValue& value, bool full) {
  return std::visit(
      [&](const auto& held) -> std::string {
        using T = std::decay_t<decltype(held)>;
        if constexpr (std::is_same_v<T, std::string_view>) {
          return Printable(held, full ? kWhole : kMaxValueBytes);
        } else if constexpr (std::is_same_v<T, MetaArray>) {
          return FormatArray(held, full);
        } else {
          return FormatNumber(value.type, held);
        }
      },
      value.value);
}

std::string FormatType(const MetaValue& value) {
  if (const auto* array = std::get_if<MetaArray>(&value.value)) {
    return fmt::format("{}[{}]", NameOf(array->element_type), array->size());
  }
  return std::string(NameOf(value.type));
}

std::string FormatShape(const TensorInfo& tensor) {
  if (tensor.n_dims == 0) return "scalar";
  return fmt::format("{}",
                     fmt::join(tensor.shape.begin(), tensor.shape.begin() + tensor.n_dims, " x "));
}

class TextReport {
 public:
  TextReport(const GgufFile& file, const Inspection& inspection, InspectStyle style)
      : file_(file), inspection_(inspection), style_(style) {}

  std::string Format() {
    AddTitle();
    AddMetadata();
    AddTensors();
    AddTypes();
    AddModel();
    return std::move(text_);
  }

 private:
  void AddHeading(std::string_view heading) {
    text_ +=
        style_.bold ? fmt::format("\n\x1b[1m{}\x1b[0m\n", heading) : fmt::format("\n{}\n", heading);
  }

  void AddTitle() {
    const uint64_t n_files = file_.GetUintOr("split.count", 1).value_or(1);
    const std::string name = Printable(file_.name(), kWhole);
    text_ += style_.bold ? fmt::format("\x1b[1m{}\x1b[0m\n", name) : name + "\n";
    text_ += fmt::format("  GGUF v{}, {}{}, {}, {}\n", file_.version(),
                         n_files > 1 ? Counted(n_files, "file") + ", " : "",
                         FormatBytes(file_.file_bytes()), Counted(file_.metadata().size(), "key"),
                         Counted(file_.tensors().size(), "tensor"));
  }

  void AddMetadata() {
    if (file_.metadata().empty()) return;
    AddHeading("Metadata");
    TextTable table({Align::kLeft, Align::kLeft, Align::kLeft});
    for (const MetaEntry& entry : file_.metadata()) {
      table.AddRow(
          {Printable(entry.key), FormatType(entry.value), FormatValue(entry.value, style_.full)});
    }
    text_ += table.Format();
  }

  void AddTensors() {
    if (file_.tensors().empty()) return;
    AddHeading("Tensors");
    TextTable table({Align::kLeft, Align::kLeft, Align::kLeft, Align::kRight});
    for (const TensorInfo& tensor : file_.tensors()) {
      table.AddRow({Printable(tensor.name), FormatShape(tensor), std::string(NameOf(tensor.type)),
                    FormatBytes(tensor.data.size())});
    }
    text_ += table.Format();
  }

  void AddTypes() {
    if (file_.tensors().empty()) return;
    AddHeading("Types");
    TextTable table({Align::kLeft, Align::kRight, Align::kRight, Align::kRight, Align::kRight,
                     Align::kRight, Align::kLeft});
    table.AddRow({"type", "tensors", "parameters", "size", "share", "bits per weight", ""});
    for (const TypeShare& share : inspection_.types) {
      table.AddRow(TypeRow(std::string(NameOf(share.type)), share,
                           IsRunnable(share.type) ? "" : "cannot be run"));
    }
    if (inspection_.types.size() > 1) table.AddRow(TypeRow("all", inspection_.total, ""));
    text_ += table.Format();
  }

  std::vector<std::string> TypeRow(std::string name, const TypeShare& share,
                                   std::string note) const {
    const double percent =
        100.0 * static_cast<double>(share.n_bytes) / static_cast<double>(inspection_.total.n_bytes);
    return {std::move(name),
            FormatThousands(share.n_tensors),
            FormatCount(share.n_elements),
            FormatBytes(share.n_bytes),
            fmt::format("{:.1f}%", percent),
            fmt::format("{:.2f}", BitsPerWeight(share.n_bytes, share.n_elements)),
            std::move(note)};
  }

  void AddModel() {
    if (!inspection_.memory) {
      AddHeading("Model");
      // The file's name stands above already.
      std::string_view problem = inspection_.memory.error().message;
      if (problem.starts_with(file_.name() + ": ")) problem.remove_prefix(file_.name().size() + 2);
      text_ += fmt::format("  Quern cannot run it: {}\n", problem);
      return;
    }
    const MemoryNeed& need = *inspection_.memory;
    const HParams& hparams = need.hparams;
    const LayerSpec& layer = hparams.layers.front();
    AddHeading("Model");
    TextTable model({Align::kLeft, Align::kLeft});
    model.AddRow(
        {"architecture",
         fmt::format("{}, {} parameters at {:.2f} bits", hparams.architecture->name,
                     FormatCount(inspection_.total.n_elements),
                     BitsPerWeight(inspection_.total.n_bytes, inspection_.total.n_elements))});
    model.AddRow(
        {"shape", fmt::format("{} of {}, feed-forward {}", Counted(hparams.n_layer(), "layer"),
                              FormatThousands(hparams.n_embd), FormatThousands(layer.ffn.n_ff))});
    model.AddRow({"attention", fmt::format("{} of {}, {}", Counted(layer.attention.n_head, "head"),
                                           layer.attention.k_dim,
                                           Counted(layer.attention.n_head_kv, "KV head"))});
    model.AddRow({"vocabulary", Counted(hparams.n_vocab, "token")});
    model.AddRow({"trained for", Counted(hparams.n_ctx_train, "position")});
    text_ += model.Format();

    const std::string_view k_name = NameOf(need.kv_types.k);
    const std::string_view v_name = NameOf(need.kv_types.v);
    AddHeading(fmt::format(
        "Memory for {}, KV cache in {}", Counted(need.n_ctx, "position"),
        k_name == v_name ? std::string(k_name) : fmt::format("{} (K) and {} (V)", k_name, v_name)));
    TextTable memory({Align::kLeft, Align::kRight});
    memory.AddRow({"weights", FormatBytes(need.estimate.weights)});
    memory.AddRow({"KV cache", FormatBytes(need.estimate.kv_cache)});
    memory.AddRow({"working memory", FormatBytes(need.estimate.scratch)});
    memory.AddRow({"total", FormatBytes(need.estimate.total())});
    text_ += memory.Format();
  }

  const GgufFile& file_;
  const Inspection& inspection_;
  InspectStyle style_;
  std::string text_;
};

}  // namespace

std::string InspectionText(const GgufFile& file, const Inspection& inspection, InspectStyle style) {
  return TextReport(file, inspection, style).Format();
}

}  // namespace quern
