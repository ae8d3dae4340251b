#include "gguf/gguf_writer.h"

#include <algorithm>
#include <cstring>
#include <functional>
#include <map>
#include <optional>
#include <type_traits>
#include <utility>

#include "gguf/base/check.h"
#include "gguf/base/output_file.h"
#include "gguf/base/printable.h"
#include "gguf/gguf_parser.h"

namespace quern {
namespace {

using Bytes = std::vector<std::byte>;

constexpr size_t kMaxDims = 4;

/// Of a tensor, and of all together: sums of offsets and padding stay far from 2^64.
constexpr uint64_t kMaxDataBytes = uint64_t{1} << 62;

void Append(Bytes& out, const void* begin, size_t size) {
  const size_t old_size = out.size();
  out.resize(old_size + size);
  if (size != 0) std::memcpy(out.data() + old_size, begin, size);
}

template <typename T>
void Append(Bytes& out, T value) {
  static_assert(std::is_arithmetic_v<T>);
  Append(out, &value, sizeof(T));
}

void Append(Bytes& out, MetaType type) { Append(out, static_cast<uint32_t>(type)); }

void Append(Bytes& out, std::string_view text) {
  Append(out, uint64_t{text.size()});
  Append(out, text.data(), text.size());
}

/// A number in the width that `type` has in the file.
template <typename Wide>
void AppendNumber(Bytes& out, MetaType type, Wide value) {
  switch (type) {
    case MetaType::kUint8:
      return Append(out, static_cast<uint8_t>(value));
    case MetaType::kInt8:
      return Append(out, static_cast<int8_t>(value));
    case MetaType::kUint16:
      return Append(out, static_cast<uint16_t>(value));
    case MetaType::kInt16:
      return Append(out, static_cast<int16_t>(value));
    case MetaType::kUint32:
      return Append(out, static_cast<uint32_t>(value));
    case MetaType::kInt32:
      return Append(out, static_cast<int32_t>(value));
    case MetaType::kUint64:
      return Append(out, static_cast<uint64_t>(value));
    case MetaType::kInt64:
      return Append(out, static_cast<int64_t>(value));
    case MetaType::kFloat32:
      return Append(out, static_cast<float>(value));
    case MetaType::kFloat64:
      return Append(out, static_cast<double>(value));
    case MetaType::kBool:
      return Append(out, static_cast<uint8_t>(value));
    case MetaType::kString:
    case MetaType::kArray:
      break;
  }
  QUERN_DCHECK(false);
}

void AppendArray(Bytes& out, const MetaArray& array) {
  Append(out, array.element_type);
  Append(out, uint64_t{array.size()});
  std::visit(
      [&](const auto& elements) {
        using T = typename std::decay_t<decltype(elements)>::value_type;
        if constexpr (std::is_same_v<T, std::byte>) {
          Append(out, elements.data(), elements.size());
        } else {
          for (const T& element : elements) {
            if constexpr (std::is_same_v<T, MetaArray>) {
              AppendArray(out, element);
            } else {
              Append(out, element);
            }
          }
        }
      },
      array.elements);
}

Bytes Encode(const MetaValue& value) {
  Bytes out;
  Append(out, value.type);
  std::visit(
      [&](const auto& held) {
        using T = std::decay_t<decltype(held)>;
        if constexpr (std::is_same_v<T, MetaArray>) {
          AppendArray(out, held);
        } else if constexpr (std::is_same_v<T, std::string_view>) {
          Append(out, held);
        } else {
          AppendNumber(out, value.type, held);
        }
      },
      value.value);
  return out;
}

uint64_t AlignUp(uint64_t position, uint64_t alignment) {
  return (position + alignment - 1) / alignment * alignment;
}

}  // namespace

struct GgufWriter::Impl {
  struct Entry {
    std::string key;
    Bytes value;  ///< as in the file: type, then content
  };
  struct Tensor {
    std::string name;
    GgmlType type;
    std::vector<uint64_t> shape;
    uint64_t n_bytes;
    uint64_t offset;  ///< from the start of the data section
  };

  std::vector<Entry> entries;
  std::map<std::string, size_t, std::less<>> entry_of;  ///< by key, an index of `entries`
  std::vector<Tensor> tensors;
  uint64_t tensor_bytes = 0;  ///< of all, without padding
  uint64_t alignment = kDefaultAlignment;
  Status misuse;  ///< the first bad key, shape or alignment; Open reports it

  std::optional<OutputFile> file;
  size_t next_tensor = 0;         ///< the tensor whose bytes come next
  uint64_t next_tensor_done = 0;  ///< bytes of it already written

  void Reject(std::string message) {
    if (misuse) misuse = Fail(ErrorCode::kInvalidArgument, "{}", message);
  }

  void Set(std::string_view key, const MetaValue& value) {
    if (key.empty()) Reject("a metadata key is empty");
    if (key == kAlignmentKey) SetAlignment(value);
    const auto [place, is_new] = entry_of.try_emplace(std::string(key), entries.size());
    if (is_new) entries.push_back({std::string(key), {}});
    entries[place->second].value = Encode(value);
  }

  void Remove(std::string_view key) {
    const auto place = entry_of.find(key);
    if (place == entry_of.end()) return;
    const size_t removed = place->second;
    entries.erase(entries.begin() + static_cast<ptrdiff_t>(removed));
    entry_of.erase(place);
    for (auto& [name, i] : entry_of) i -= i > removed ? 1 : 0;
    if (key == kAlignmentKey) alignment = kDefaultAlignment;
  }

  void SetAlignment(const MetaValue& value) {
    const auto* held = std::get_if<uint64_t>(&value.value);
    if (value.type != MetaType::kUint32 || held == nullptr || !IsValidAlignment(*held)) {
      return Reject(fmt::format("key '{}': expected a uint32 power of two from {} to {}",
                                kAlignmentKey, kMinAlignment, kMaxAlignment));
    }
    alignment = *held;
  }

  void AddTensor(std::string_view name, GgmlType type, std::span<const uint64_t> shape) {
    const GgmlTypeTraits& traits = TraitsOf(type);
    const uint64_t n_cols = shape.empty() ? 1 : shape[0];
    uint64_t n_elements = 1;
    bool overflow = false;
    for (const uint64_t dim : shape) {
      overflow |= __builtin_mul_overflow(n_elements, dim, &n_elements);
    }
    if (name.empty() || shape.size() > kMaxDims || overflow || n_elements == 0 ||
        n_cols % traits.block_elements != 0 || n_elements > kMaxDataBytes / traits.block_bytes) {
      return Reject(fmt::format(
          "tensor {}: shape {} of type {}, expected a name, at most {} dimensions and rows of "
          "whole "
          "blocks of {}",
          Quoted(name), fmt::join(shape, "x"), traits.name, kMaxDims, traits.block_elements));
    }
    const uint64_t n_bytes = n_elements / traits.block_elements * traits.block_bytes;
    if (n_bytes > kMaxDataBytes - tensor_bytes) {
      return Reject(
          fmt::format("tensor {}: all together have over {} bytes", Quoted(name), kMaxDataBytes));
    }
    tensor_bytes += n_bytes;
    tensors.push_back({std::string(name), type, {shape.begin(), shape.end()}, n_bytes, 0});
  }

  /// Sets the tensors' offsets and returns the bytes of the data section.
  uint64_t LayOut() {
    uint64_t offset = 0;
    for (Tensor& tensor : tensors) {
      tensor.offset = offset;
      offset = AlignUp(offset + tensor.n_bytes, alignment);
    }
    return offset;
  }

  Status CheckNames() {
    std::vector<std::string_view> names;
    names.reserve(tensors.size());
    for (const Tensor& tensor : tensors) names.push_back(tensor.name);
    std::sort(names.begin(), names.end());
    const auto twice = std::adjacent_find(names.begin(), names.end());
    if (twice != names.end()) {
      return Fail(ErrorCode::kInvalidArgument, "tensor {}: added twice", Quoted(*twice));
    }
    return {};
  }

  Bytes Header() {
    LayOut();
    Bytes out;
    Append(out, kGgufMagic);
    Append(out, kGgufVersion);
    Append(out, uint64_t{tensors.size()});
    Append(out, uint64_t{entries.size()});
    for (const Entry& entry : entries) {
      Append(out, std::string_view(entry.key));
      Append(out, entry.value.data(), entry.value.size());
    }
    for (const Tensor& tensor : tensors) {
      Append(out, std::string_view(tensor.name));
      Append(out, static_cast<uint32_t>(tensor.shape.size()));
      for (const uint64_t dim : tensor.shape) Append(out, dim);
      Append(out, static_cast<uint32_t>(tensor.type));
      Append(out, tensor.offset);
    }
    out.resize(AlignUp(out.size(), alignment));
    return out;
  }

  Status Open(const std::string& path) {
    if (!misuse) return misuse;
    if (Status status = CheckNames(); !status) return status;
    const Bytes header = Header();
    Result<OutputFile> created = OutputFile::Create(path, header.size() + LayOut());
    if (!created) return Propagate(created);
    file.emplace(*std::move(created));
    next_tensor = 0;
    next_tensor_done = 0;
    return file->Write(header);
  }

  Status Write(std::span<const std::byte> bytes) {
    QUERN_DCHECK(file.has_value());
    if (next_tensor == tensors.size()) {
      return Fail(ErrorCode::kInvalidArgument, "{} bytes after the last tensor", bytes.size());
    }
    const Tensor& tensor = tensors[next_tensor];
    if (bytes.size() > tensor.n_bytes - next_tensor_done) {
      return Fail(ErrorCode::kInvalidArgument, "tensor {}: {} bytes, expected {}",
                  Quoted(tensor.name), next_tensor_done + bytes.size(), tensor.n_bytes);
    }
    if (Status status = file->Write(bytes); !status) return status;
    next_tensor_done += bytes.size();
    if (next_tensor_done < tensor.n_bytes) return {};
    ++next_tensor;
    next_tensor_done = 0;
    return file->Write(Bytes(AlignUp(tensor.n_bytes, alignment) - tensor.n_bytes));
  }

  Status Finish() {
    QUERN_DCHECK(file.has_value());
    if (next_tensor != tensors.size()) {
      const Tensor& tensor = tensors[next_tensor];
      return Fail(ErrorCode::kInvalidArgument, "tensor {}: {} bytes written, expected {}",
                  Quoted(tensor.name), next_tensor_done, tensor.n_bytes);
    }
    Status status = file->Commit();
    file.reset();
    return status;
  }
};

GgufWriter::GgufWriter() : impl_(std::make_unique<Impl>()) {}
GgufWriter::~GgufWriter() = default;

void GgufWriter::SetUint32(std::string_view key, uint32_t value) {
  impl_->Set(key, {MetaType::kUint32, uint64_t{value}});
}
void GgufWriter::SetInt32(std::string_view key, int32_t value) {
  impl_->Set(key, {MetaType::kInt32, int64_t{value}});
}
void GgufWriter::SetUint64(std::string_view key, uint64_t value) {
  impl_->Set(key, {MetaType::kUint64, value});
}
void GgufWriter::SetFloat32(std::string_view key, float value) {
  impl_->Set(key, {MetaType::kFloat32, double{value}});
}
void GgufWriter::SetBool(std::string_view key, bool value) {
  impl_->Set(key, {MetaType::kBool, value});
}
void GgufWriter::SetString(std::string_view key, std::string_view value) {
  impl_->Set(key, {MetaType::kString, value});
}
void GgufWriter::SetStrings(std::string_view key, std::span<const std::string> values) {
  const MetaArray array{MetaType::kString,
                        std::vector<std::string_view>(values.begin(), values.end())};
  impl_->Set(key, {MetaType::kArray, array});
}
void GgufWriter::SetInt32s(std::string_view key, std::span<const int32_t> values) {
  const MetaArray array{MetaType::kInt32, std::as_bytes(values)};
  impl_->Set(key, {MetaType::kArray, array});
}
void GgufWriter::SetFloat32s(std::string_view key, std::span<const float> values) {
  const MetaArray array{MetaType::kFloat32, std::as_bytes(values)};
  impl_->Set(key, {MetaType::kArray, array});
}
void GgufWriter::SetValue(std::string_view key, const MetaValue& value) { impl_->Set(key, value); }

void GgufWriter::Remove(std::string_view key) { impl_->Remove(key); }

void GgufWriter::AddTensor(std::string_view name, GgmlType type, std::span<const uint64_t> shape) {
  impl_->AddTensor(name, type, shape);
}

Status GgufWriter::Open(const std::string& path) { return impl_->Open(path); }
Status GgufWriter::Write(std::span<const std::byte> bytes) { return impl_->Write(bytes); }
Status GgufWriter::Finish() { return impl_->Finish(); }
std::vector<std::byte> GgufWriter::Header() const { return impl_->Header(); }

}  // namespace quern
