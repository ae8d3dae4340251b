// libFuzzer target of the GGUF reader: any bytes give a file or an error, and what was read can be
// written back. By hand: gguf_fuzz -malloc_limit_mb=1 -max_len=4096 FOLDER, FOLDER keeping the
// inputs that reached new code.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "gguf/base/printable.h"
#include "gguf/gguf_file.h"
#include "gguf/gguf_writer.h"

extern "C" size_t LLVMFuzzerMutate(uint8_t* data, size_t size, size_t max_size);

namespace quern {
namespace {

void Require(bool condition) {
  if (!condition) std::abort();
}

/// A small valid file of all kinds of fields, for mutation to start from.
std::vector<std::byte> Seed() {
  GgufWriter writer;
  writer.SetString("general.architecture", "llama");
  writer.SetUint32("general.alignment", 8);
  writer.SetUint64("u", 7);
  writer.SetFloat32("f", 0.5F);
  writer.SetBool("b", true);
  writer.SetStrings("s", std::vector<std::string>{"a", "bc"});
  writer.SetInt32s("i", std::vector<int32_t>{1, -2});
  // Bytes that hold two elements of every numeric type, bools among them.
  const std::vector<uint8_t> numbers = {1, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0};
  std::vector<MetaArray> arrays;
  for (uint32_t id = 0; id <= static_cast<uint32_t>(MetaType::kFloat64); ++id) {
    const auto type = static_cast<MetaType>(id);
    if (WidthOf(type) == 0) continue;
    const auto bytes = std::as_bytes(std::span(numbers)).first(2 * WidthOf(type));
    arrays.push_back({type, bytes});
    writer.SetValue(NameOf(type), {MetaType::kArray, arrays.back()});
  }
  writer.SetValue("n", {MetaType::kArray, MetaArray{MetaType::kArray, arrays}});
  const std::vector<uint64_t> matrix = {32, 2};
  const std::vector<uint64_t> vector = {3};
  writer.AddTensor("m", GgmlType::kQ4_0, matrix);
  writer.AddTensor("v", GgmlType::kF32, vector);
  std::vector<std::byte> bytes = writer.Header();
  bytes.resize(bytes.size() + 40 + 16);
  return bytes;
}

/// Touches every byte of the tensors and calls every look-up on every key.
void UseAll(const GgufFile& file) {
  unsigned sum = 0;
  for (const TensorInfo& tensor : file.tensors()) {
    for (const std::byte byte : tensor.data) sum += static_cast<unsigned>(byte);
    Require(file.FindTensor(tensor.name) == &tensor);
    Require(tensor.n_elements() > 0);
    Require(RowBytes(tensor.type, tensor.n_cols()) * tensor.n_rows() == tensor.data.size());
  }
  for (const MetaEntry& entry : file.metadata()) {
    Require(file.Find(entry.key) == &entry.value);
    sum += static_cast<unsigned>(file.GetUint(entry.key).has_value());
    sum += static_cast<unsigned>(file.GetFloat(entry.key).has_value());
    sum += static_cast<unsigned>(file.GetBool(entry.key).has_value());
    sum += static_cast<unsigned>(file.GetString(entry.key).has_value());
    sum += static_cast<unsigned>(file.GetStrings(entry.key).has_value());
    sum += static_cast<unsigned>(file.GetInts(entry.key).has_value());
    sum += static_cast<unsigned>(file.GetFloats(entry.key).has_value());
  }
  volatile unsigned sink = sum;
  static_cast<void>(sink);
}

std::vector<std::byte> Rewrite(const GgufFile& file) {
  GgufWriter writer;
  for (const MetaEntry& entry : file.metadata()) writer.SetValue(entry.key, entry.value);
  for (const TensorInfo& tensor : file.tensors()) {
    writer.AddTensor(tensor.name, tensor.type, std::span(tensor.shape).first(tensor.n_dims));
  }
  std::vector<std::byte> header = writer.Header();
  uint64_t data_bytes = 0;
  for (const TensorInfo& tensor : file.tensors()) {
    data_bytes += (tensor.data.size() + file.alignment() - 1) / file.alignment() * file.alignment();
  }
  header.resize(header.size() + data_bytes);
  return header;
}

/// One line of text: nothing to escape but the backslashes and quotes of what was escaped.
bool IsPrintable(std::string text) {
  std::erase(text, '\\');
  return Printable(text, text.size()) == text;
}

void TestBytes(std::span<const std::byte> bytes) {
  const Result<GgufFile> file = GgufFile::FromMemory(bytes, "fuzz");
  if (!file) {
    const std::string& message = file.error().message;
    Require(message.size() < 1000);
    Require(IsPrintable(message));
    return;
  }
  UseAll(*file);
  const std::vector<std::byte> copy = Rewrite(*file);
  const Result<GgufFile> again = GgufFile::FromMemory(copy, "copy");
  Require(again.has_value());
  Require(again->metadata().size() == file->metadata().size());
  Require(again->tensors().size() == file->tensors().size());
  Require(Rewrite(*again) == copy);
}

}  // namespace
}  // namespace quern

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  quern::TestBytes(std::as_bytes(std::span(data, size)));
  return 0;
}

extern "C" size_t LLVMFuzzerCustomMutator(uint8_t* data, size_t size, size_t max_size,
                                          unsigned int /*seed*/) {
  constexpr size_t kHeaderBytes = 24;
  if (size < kHeaderBytes) {
    const std::vector<std::byte> start = quern::Seed();
    size = std::min(start.size(), max_size);
    std::memcpy(data, start.data(), size);
  }
  return LLVMFuzzerMutate(data, size, max_size);
}
