#include "gguf/gguf_file.h"

#include <algorithm>
#include <cstdint>
#include <new>
#include <optional>
#include <utility>

#include "gguf/base/check.h"
#include "gguf/base/printable.h"
#include "gguf/gguf_parser.h"
#include "gguf/mapped_file.h"
#include "gguf/name_index.h"
#include "gguf/split_name.h"

namespace quern {
namespace {

constexpr std::string_view kSplitCount = "split.count";
constexpr std::string_view kSplitNumber = "split.no";
constexpr std::string_view kSplitTensors = "split.tensors.count";

// Metadata of a 128k vocabulary takes 8 MB; reading it in one go spares a fault every 128 KB.
constexpr size_t kReadAheadBytes = 16 << 20;

std::string Shown(std::string_view name) { return Printable(name, name.size()); }

/// Runs `open`; memory that a well-formed but huge file asks for and the machine lacks becomes an
/// error.
template <typename Open>
Result<GgufFile> WithinMemory(std::string_view name, Open open) {
  try {
    return open();
  } catch (const std::bad_alloc&) {
    return Fail(ErrorCode::kOutOfMemory, "{}: no memory left for its metadata", Shown(name));
  }
}

}  // namespace

struct GgufFile::Impl {
  std::string name;
  uint64_t file_bytes = 0;
  std::vector<MappedFile> files;  ///< one for each file of the set; none for a file in memory
  GgufContents contents;          ///< the first file's metadata, the tensors of all
  NameIndex keys;
  NameIndex tensor_names;

  static Result<GgufFile> Parse(std::span<const std::byte> bytes, std::string name) {
    Result<GgufContents> contents = ParseGguf(bytes, name);
    if (!contents) return Propagate(contents);
    auto impl = std::make_shared<Impl>();
    impl->name = std::move(name);
    impl->file_bytes = bytes.size();
    impl->contents = *std::move(contents);
    if (Status status = impl->IndexKeys(); !status) return Propagate(status);
    return GgufFile(std::move(impl));
  }

  static Result<GgufFile> OpenOne(const std::string& path) {
    Result<MappedFile> mapped = MappedFile::Open(path);
    if (!mapped) return Propagate(mapped);
    const std::span<const std::byte> bytes = mapped->bytes();
    mapped->WillNeed(bytes.first(std::min(bytes.size(), kReadAheadBytes)));
    Result<GgufFile> file = Parse(bytes, path);
    if (file) file->impl_->files.push_back(*std::move(mapped));
    return file;
  }

  static Result<GgufFile> OpenSet(const std::string& path) {
    Result<GgufFile> first = OpenOne(path);
    if (!first) return first;
    const Result<uint64_t> count = first->GetUintOr(kSplitCount, 1);
    if (!count) return tl::unexpected(count.error());
    Status status = *count > 1 ? first->impl_->AddSplits(*first, *count) : Status();
    if (status) status = first->impl_->IndexTensors();
    if (!status) return Propagate(status);
    return first;
  }

  /// Opens the other files of the set that `first` (the owner of this) begins and takes over their
  /// tensors.
  Status AddSplits(const GgufFile& first, uint64_t count) {
    const std::optional<SplitName> split = ParseSplitName(name);
    if (!split || split->count != count) {
      return Fail(
          ErrorCode::kCorruptFile,
          "{}: belongs to a split set of {}, expected a name like MODEL-00001-of-{:05}.gguf",
          Shown(name), count, count);
    }
    const Result<uint64_t> number = SplitKey(first, kSplitNumber);
    if (!number) return tl::unexpected(number.error());
    const std::string first_path = SplitPath(split->prefix, 1, split->count);
    if (*number != 0) {
      return Fail(ErrorCode::kInvalidArgument,
                  "{}: file {} of a split set of {}, open the first: {}", Shown(name), *number + 1,
                  count, Shown(first_path));
    }
    if (split->number != 1) {
      return Fail(ErrorCode::kCorruptFile, "{}: begins a split set, expected to be named {}",
                  Shown(name), Shown(first_path));
    }
    for (uint32_t i = 1; i < split->count; ++i) {
      Status status = AddSplit(SplitPath(split->prefix, i + 1, split->count), i, split->count);
      if (!status) return status;
    }
    const Result<uint64_t> n_tensors = first.GetUintOr(kSplitTensors, contents.tensors.size());
    if (!n_tensors) return tl::unexpected(n_tensors.error());
    if (*n_tensors != contents.tensors.size()) {
      return Fail(ErrorCode::kCorruptFile, "{}: key '{}': value {}, but the files hold {} tensors",
                  Shown(name), kSplitTensors, *n_tensors, contents.tensors.size());
    }
    return {};
  }

  /// A number that every file of a set must have.
  static Result<uint64_t> SplitKey(const GgufFile& file, std::string_view key) {
    Result<uint64_t> value = file.GetUint(key);
    if (!value) value.error().code = ErrorCode::kCorruptFile;
    return value;
  }

  Status AddSplit(const std::string& path, uint32_t index, uint32_t count) {
    Result<GgufFile> file = OpenOne(path);
    if (!file && file.error().code == ErrorCode::kNotFound) {
      return Fail(ErrorCode::kNotFound, "{}: file {} of {} of the split set is missing: {}",
                  Shown(name), index + 1, count, Shown(path));
    }
    if (!file) return Propagate(file);
    const std::pair<std::string_view, uint64_t> expected_values[] = {{kSplitNumber, index},
                                                                     {kSplitCount, count}};
    for (const auto& [key, expected] : expected_values) {
      const Result<uint64_t> value = SplitKey(*file, key);
      if (!value) return tl::unexpected(value.error());
      if (*value != expected) {
        return Fail(ErrorCode::kCorruptFile, "{}: key '{}': value {}, expected {}", Shown(path),
                    key, *value, expected);
      }
    }
    Impl& other = *file->impl_;
    for (TensorInfo& tensor : other.contents.tensors) {
      tensor.split = index;
      contents.tensors.push_back(tensor);
    }
    file_bytes += other.file_bytes;
    files.push_back(std::move(other.files.front()));
    return {};
  }

  Status IndexKeys() {
    keys = NameIndex(contents.metadata, [](const MetaEntry& entry) { return entry.key; });
    if (const auto key = keys.FindDuplicate()) {
      return Fail(ErrorCode::kCorruptFile, "{}: key {}: occurs twice", Shown(name), Quoted(*key));
    }
    return {};
  }

  Status IndexTensors() {
    tensor_names =
        NameIndex(contents.tensors, [](const TensorInfo& tensor) { return tensor.name; });
    if (const auto tensor = tensor_names.FindDuplicate()) {
      return Fail(ErrorCode::kCorruptFile, "{}: tensor {}: occurs twice", Shown(name),
                  Quoted(*tensor));
    }
    return {};
  }

  /// The mapping that `bytes` lie in, or null for a file in memory.
  const MappedFile* MappingOf(std::span<const std::byte> bytes) const {
    for (const MappedFile& file : files) {
      if (file.Contains(bytes)) return &file;
    }
    return nullptr;
  }
};

Result<GgufFile> GgufFile::Open(const std::string& path) {
  return WithinMemory(path, [&] { return Impl::OpenSet(path); });
}

Result<GgufFile> GgufFile::FromMemory(std::span<const std::byte> bytes, std::string name) {
  QUERN_DCHECK(reinterpret_cast<std::uintptr_t>(bytes.data()) % 8 == 0);
  return WithinMemory(name, [&]() -> Result<GgufFile> {
    Result<GgufFile> file = Impl::Parse(bytes, name);
    if (!file) return file;
    const Result<uint64_t> count = file->GetUintOr(kSplitCount, 1);
    if (!count) return tl::unexpected(count.error());
    if (*count > 1) {
      return Fail(ErrorCode::kUnsupported, "{}: one of {} files of a split set, expected a whole",
                  Shown(name), *count);
    }
    if (Status status = file->impl_->IndexTensors(); !status) return Propagate(status);
    return file;
  });
}

GgufFile::GgufFile(std::shared_ptr<Impl> impl) : impl_(std::move(impl)) {}

const std::string& GgufFile::name() const { return impl_->name; }
uint32_t GgufFile::version() const { return impl_->contents.version; }
uint32_t GgufFile::alignment() const { return impl_->contents.alignment; }
uint64_t GgufFile::file_bytes() const { return impl_->file_bytes; }
std::span<const MetaEntry> GgufFile::metadata() const { return impl_->contents.metadata; }
std::span<const TensorInfo> GgufFile::tensors() const { return impl_->contents.tensors; }

const MetaValue* GgufFile::Find(std::string_view key) const {
  const std::optional<size_t> i = impl_->keys.Find(key);
  return i ? &impl_->contents.metadata[*i].value : nullptr;
}

const TensorInfo* GgufFile::FindTensor(std::string_view name) const {
  const std::optional<size_t> i = impl_->tensor_names.Find(name);
  return i ? &impl_->contents.tensors[*i] : nullptr;
}

void GgufFile::DropPages(std::span<const std::byte> bytes) const {
  if (const MappedFile* file = impl_->MappingOf(bytes)) file->DropPages(bytes);
}

}  // namespace quern
