#include "gguf/gguf_parser.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "gguf/base/printable.h"
#include "gguf/byte_reader.h"

namespace quern {
namespace {

// Files in use do not nest arrays at all; the bound keeps the recursion off the end of the stack.
constexpr int kMaxArrayDepth = 8;
constexpr uint32_t kMaxDims = 4;

constexpr uint64_t kMinEntryBytes = 8 + 4 + 1;       // key length, type, the shortest value
constexpr uint64_t kMinTensorBytes = 8 + 4 + 4 + 8;  // name length, dimensions, type, offset

/// Keys, tensors, and elements of arrays of strings and arrays take up to 80 bytes of memory each,
/// but as little as 8 of the file. The bound on all together keeps a file of gigabytes from taking
/// more than 300 MB for its metadata; the largest vocabularies have under a million strings.
constexpr uint64_t kMaxItems = 1 << 21;

/// Bytes that a value of this type takes at least.
uint64_t MinBytes(MetaType type) {
  if (type == MetaType::kString) return 8;
  if (type == MetaType::kArray) return 12;
  return WidthOf(type);
}

class Parser {
 public:
  Parser(std::span<const std::byte> bytes, std::string_view name)
      : bytes_(bytes), reader_(bytes), file_name_(Printable(name, name.size())) {}

  Result<GgufContents> Parse() {
    Status status = ParseHeader();
    if (status) status = ParseMetadata();
    if (status) status = ParseTensorInfos();
    if (status) status = PlaceTensors();
    if (!status) return Propagate(status);
    return std::move(contents_);
  }

 private:
  /// An error at the part being parsed: "FILE: key 'NAME': TEXT", or "FILE: key 3 of 9: TEXT"
  /// before its name is known.
  tl::unexpected<Error> FailHere(ErrorCode code, std::string_view text) const {
    std::string where = file_name_;
    if (!subject_.name.empty()) {
      where += fmt::format(": {} {}", subject_.kind, Quoted(subject_.name));
    } else if (subject_.count != 0) {
      where += fmt::format(": {} {} of {}", subject_.kind, subject_.number, subject_.count);
    }
    return Fail(code, "{}: {}", where, text);
  }

  template <typename... Args>
  tl::unexpected<Error> Corrupt(fmt::format_string<Args...> format, Args&&... args) const {
    return FailHere(ErrorCode::kCorruptFile, fmt::format(format, std::forward<Args>(args)...));
  }
  template <typename... Args>
  tl::unexpected<Error> Unsupported(fmt::format_string<Args...> format, Args&&... args) const {
    return FailHere(ErrorCode::kUnsupported, fmt::format(format, std::forward<Args>(args)...));
  }

  tl::unexpected<Error> Truncated(std::string_view what) const {
    return Corrupt("the file ends at byte {} inside {}", bytes_.size(), what);
  }

  /// Counts `count` more of what takes memory of its own.
  Status ClaimItems(uint64_t count) {
    if (count > kMaxItems - n_items_) {
      return Unsupported("keys, tensors, strings and arrays add up to more than {}", kMaxItems);
    }
    n_items_ += count;
    return {};
  }

  Status ParseHeader() {
    const auto magic = reader_.Read<uint32_t>();
    if (!magic) return Truncated("the magic 'GGUF'");
    if (*magic != kGgufMagic) {
      const std::string_view start(reinterpret_cast<const char*>(bytes_.data()), sizeof(*magic));
      return Corrupt("not a GGUF file: starts with {}, expected 'GGUF'", Quoted(start));
    }
    const auto version = reader_.Read<uint32_t>();
    if (!version) return Truncated("the version");
    if (*version != 0 && (*version & 0xffff) == 0) {
      return Corrupt("a big-endian GGUF file, expected little endian");
    }
    if (*version != 2 && *version != kGgufVersion) {
      return Corrupt("GGUF version {}, expected 2 or 3", *version);
    }
    contents_.version = *version;
    const auto tensor_count = reader_.Read<uint64_t>();
    const auto entry_count = reader_.Read<uint64_t>();
    if (!tensor_count || !entry_count) return Truncated("the counts of tensors and keys");
    if (*tensor_count > reader_.remaining() / kMinTensorBytes) {
      return Corrupt("claims {} tensors, but {} bytes remain", *tensor_count, reader_.remaining());
    }
    if (*entry_count > reader_.remaining() / kMinEntryBytes) {
      return Corrupt("claims {} metadata keys, but {} bytes remain", *entry_count,
                     reader_.remaining());
    }
    tensor_count_ = *tensor_count;
    entry_count_ = *entry_count;
    return ClaimItems(tensor_count_ + entry_count_);
  }

  Status ParseMetadata() {
    contents_.metadata.reserve(entry_count_);
    for (uint64_t i = 0; i < entry_count_; ++i) {
      subject_ = {"key", {}, i + 1, entry_count_};
      Result<std::string_view> key = ParseString();
      if (!key) return Propagate(key);
      if (key->empty()) return Corrupt("the key is empty");
      subject_.name = *key;
      Result<MetaType> type = ParseType("a value type");
      if (!type) return Propagate(type);
      Result<MetaValue> value = ParseValue(*type);
      if (!value) return Propagate(value);
      if (*key == kAlignmentKey) {
        if (Status status = SetAlignment(*value); !status) return status;
      }
      contents_.metadata.push_back({*key, *std::move(value)});
    }
    subject_ = {};
    return {};
  }

  Status SetAlignment(const MetaValue& value) {
    if (value.type != MetaType::kUint32) {
      return Corrupt("type {}, expected uint32", NameOf(value.type));
    }
    const uint64_t alignment = std::get<uint64_t>(value.value);
    if (!IsValidAlignment(alignment)) {
      return Corrupt("alignment {}, expected a power of two from {} to {}", alignment,
                     kMinAlignment, kMaxAlignment);
    }
    contents_.alignment = static_cast<uint32_t>(alignment);
    return {};
  }

  Result<MetaType> ParseType(std::string_view what) {
    const auto id = reader_.Read<uint32_t>();
    if (!id) return Truncated(what);
    if (*id > static_cast<uint32_t>(MetaType::kFloat64)) {
      return Corrupt("{} with id {}, expected 0 to {}", what, *id,
                     static_cast<uint32_t>(MetaType::kFloat64));
    }
    return static_cast<MetaType>(*id);
  }

  Result<std::string_view> ParseString() {
    if (const auto text = reader_.ReadString()) return *text;
    const auto length = reader_.Read<uint64_t>();
    if (!length) return Truncated("the length of a string");
    return Corrupt("a string of {} bytes at byte {}, but {} bytes remain", *length,
                   reader_.position(), reader_.remaining());
  }

  Status CheckBools(std::span<const std::byte> bytes) const {
    for (const std::byte byte : bytes) {
      if (byte > std::byte{1}) {
        return Corrupt("a bool of value {}, expected 0 or 1", static_cast<unsigned>(byte));
      }
    }
    return {};
  }

  Result<MetaValue> ParseValue(MetaType type) {
    if (type == MetaType::kString) {
      return ParseString().map([](std::string_view text) {
        return MetaValue{MetaType::kString, text};
      });
    }
    if (type == MetaType::kArray) {
      return ParseArray(1).map([](MetaArray&& array) {
        return MetaValue{MetaType::kArray, std::move(array)};
      });
    }
    const auto bytes = reader_.ReadBytes(WidthOf(type));
    if (!bytes) return Truncated(fmt::format("a value of type {}", NameOf(type)));
    if (type == MetaType::kBool) {
      if (Status status = CheckBools(*bytes); !status) return Propagate(status);
    }
    return std::visit(
        [&](auto number) {
          return MetaValue{type, number};
        },
        LoadNumber(type, bytes->data()));
  }

  Result<MetaArray> ParseArray(int depth) {
    if (depth > kMaxArrayDepth) {
      return Corrupt("arrays nested deeper than {} levels", kMaxArrayDepth);
    }
    Result<MetaType> type = ParseType("an array element type");
    if (!type) return Propagate(type);
    const auto count = reader_.Read<uint64_t>();
    if (!count) return Truncated("the length of an array");
    if (*count > reader_.remaining() / MinBytes(*type)) {
      return Corrupt("an array of {} elements of type {}, but {} bytes remain", *count,
                     NameOf(*type), reader_.remaining());
    }
    if (*type == MetaType::kString) {
      return ParseElements<std::string_view>(*type, *count, [this] { return ParseString(); });
    }
    if (*type == MetaType::kArray) {
      return ParseElements<MetaArray>(*type, *count, [&] { return ParseArray(depth + 1); });
    }
    const std::span<const std::byte> numbers = *reader_.ReadBytes(*count * WidthOf(*type));
    if (*type == MetaType::kBool) {
      if (Status status = CheckBools(numbers); !status) return Propagate(status);
    }
    return MetaArray{*type, numbers};
  }

  template <typename T, typename ParseElement>
  Result<MetaArray> ParseElements(MetaType type, uint64_t count, ParseElement parse_element) {
    if (Status status = ClaimItems(count); !status) return Propagate(status);
    std::vector<T> elements;
    elements.reserve(count);
    for (uint64_t i = 0; i < count; ++i) {
      Result<T> element = parse_element();
      if (!element) return Propagate(element);
      elements.push_back(*std::move(element));
    }
    return MetaArray{type, std::move(elements)};
  }

  Status ParseTensorInfos() {
    contents_.tensors.reserve(tensor_count_);
    offsets_.reserve(tensor_count_);
    for (uint64_t i = 0; i < tensor_count_; ++i) {
      subject_ = {"tensor", {}, i + 1, tensor_count_};
      if (Status status = ParseTensorInfo(); !status) return status;
    }
    subject_ = {};
    return {};
  }

  Status ParseTensorInfo() {
    TensorInfo tensor{};
    Result<std::string_view> name = ParseString();
    if (!name) return Propagate(name);
    if (name->empty()) return Corrupt("the name is empty");
    tensor.name = subject_.name = *name;
    const auto n_dims = reader_.Read<uint32_t>();
    if (!n_dims) return Truncated("the number of dimensions");
    if (*n_dims > kMaxDims) return Corrupt("{} dimensions, expected at most {}", *n_dims, kMaxDims);
    tensor.n_dims = *n_dims;
    tensor.shape.fill(1);
    for (uint32_t i = 0; i < *n_dims; ++i) {
      const auto dim = reader_.Read<uint64_t>();
      if (!dim) return Truncated("the shape");
      if (*dim == 0) return Corrupt("dimension {} of the shape is 0", i + 1);
      tensor.shape[i] = *dim;
    }
    const auto type_id = reader_.Read<uint32_t>();
    const auto offset = reader_.Read<uint64_t>();
    if (!type_id || !offset) return Truncated("the type and offset");
    const std::optional<GgmlType> type = GgmlTypeFromId(*type_id);
    if (!type) {
      const GgmlType newest = NewestGgmlType();
      return Unsupported("unknown tensor type id {}, expected one in use from 0 to {} ({})",
                         *type_id, static_cast<uint32_t>(newest), NameOf(newest));
    }
    tensor.type = *type;
    contents_.tensors.push_back(tensor);
    offsets_.push_back(*offset);
    return {};
  }

  /// Bytes of a tensor's data; an error when its rows do not divide into blocks or the size
  /// overflows.
  Result<uint64_t> DataBytes(const TensorInfo& tensor) const {
    const GgmlTypeTraits& traits = TraitsOf(tensor.type);
    if (tensor.n_cols() % traits.block_elements != 0) {
      return Corrupt("rows of {} elements, expected a multiple of the block size {} of {}",
                     tensor.n_cols(), traits.block_elements, traits.name);
    }
    uint64_t n_elements = 1;
    bool overflow = false;
    for (const uint64_t dim : tensor.shape) {
      overflow |= __builtin_mul_overflow(n_elements, dim, &n_elements);
    }
    uint64_t n_bytes = 0;
    overflow |=
        __builtin_mul_overflow(n_elements / traits.block_elements, traits.block_bytes, &n_bytes);
    if (overflow) {
      return Corrupt("a shape of {}x{}x{}x{} elements, expected less than 2^64 bytes",
                     tensor.shape[0], tensor.shape[1], tensor.shape[2], tensor.shape[3]);
    }
    return n_bytes;
  }

  /// Finds each tensor's data in the section that follows the header, at the next multiple of the
  /// alignment.
  Status PlaceTensors() {
    const uint64_t alignment = contents_.alignment;
    const uint64_t data_begin = (reader_.position() + alignment - 1) / alignment * alignment;
    const uint64_t data_bytes = bytes_.size() > data_begin ? bytes_.size() - data_begin : 0;
    for (size_t i = 0; i < contents_.tensors.size(); ++i) {
      TensorInfo& tensor = contents_.tensors[i];
      subject_ = {"tensor", tensor.name, i + 1, tensor_count_};
      Result<uint64_t> n_bytes = DataBytes(tensor);
      if (!n_bytes) return Propagate(n_bytes);
      const uint64_t offset = offsets_[i];
      if (offset % alignment != 0) {
        return Corrupt("data at offset {}, expected a multiple of the alignment {}", offset,
                       alignment);
      }
      if (offset > data_bytes || *n_bytes > data_bytes - offset) {
        return Corrupt("{} bytes of data at offset {}, but the file's data section has {} bytes",
                       *n_bytes, offset, data_bytes);
      }
      tensor.data = bytes_.subspan(data_begin + offset, *n_bytes);
    }
    subject_ = {};
    return CheckOverlap();
  }

  /// Overlapping tensors would let a small file claim any amount of memory once they are unpacked.
  Status CheckOverlap() {
    std::vector<const TensorInfo*> by_data;
    by_data.reserve(contents_.tensors.size());
    for (const TensorInfo& tensor : contents_.tensors) by_data.push_back(&tensor);
    std::sort(by_data.begin(), by_data.end(), [](const TensorInfo* a, const TensorInfo* b) {
      return a->data.data() < b->data.data();
    });
    for (size_t i = 1; i < by_data.size(); ++i) {
      const TensorInfo& previous = *by_data[i - 1];
      if (previous.data.data() + previous.data.size() > by_data[i]->data.data()) {
        subject_ = {"tensor", by_data[i]->name, 0, 0};
        return Corrupt("its data overlaps that of tensor {}", Quoted(previous.name));
      }
    }
    return {};
  }

  /// The key or tensor that an error is about.
  struct Subject {
    std::string_view kind;
    std::string_view name;
    uint64_t number = 0;
    uint64_t count = 0;
  };

  std::span<const std::byte> bytes_;
  ByteReader reader_;
  std::string file_name_;
  Subject subject_;
  uint64_t tensor_count_ = 0;
  uint64_t entry_count_ = 0;
  uint64_t n_items_ = 0;
  std::vector<uint64_t> offsets_;  ///< of each tensor, from the start of the data section
  GgufContents contents_;
};

}  // namespace

Result<GgufContents> ParseGguf(std::span<const std::byte> bytes, std::string_view name) {
  return Parser(bytes, name).Parse();
}

}  // namespace quern
