#include "tools/quality/npy.h"

#include <array>
#include <charconv>
#include <limits>
#include <optional>
#include <string_view>
#include <vector>

namespace quern {
namespace {

// Layout (numpy.lib.format): "\x93NUMPY", major, minor, header length (2 bytes in version 1, 4 in 2
// and 3, little endian), a Python dictionary as text padded so that the data begins at a multiple
// of 64, then the values.
constexpr std::string_view kMagic("\x93NUMPY", 6);
constexpr size_t kDataAlignment = 64;
constexpr size_t kMaxHeaderBytes = 1 << 16;

// The text after `'key':` in the header dictionary.
std::optional<std::string_view> FieldText(std::string_view header, std::string_view key) {
  const size_t at = header.find(fmt::format("'{}':", key));
  if (at == std::string_view::npos) return std::nullopt;
  std::string_view rest = header.substr(at + key.size() + 3);
  const size_t start = rest.find_first_not_of(' ');
  if (start == std::string_view::npos) return std::nullopt;
  return rest.substr(start);
}

// "(3, 128)" or "(3,)" as numbers; nothing when the text is no tuple of sizes.
std::optional<std::vector<uint64_t>> ParseShape(std::string_view text) {
  if (text.empty() || text.front() != '(') return std::nullopt;
  std::vector<uint64_t> shape;
  size_t at = 1;
  while (at < text.size()) {
    at = text.find_first_not_of(" ,", at);
    if (at == std::string_view::npos) return std::nullopt;
    if (text[at] == ')') return shape;
    uint64_t value = 0;
    const auto [end, error] = std::from_chars(text.data() + at, text.data() + text.size(), value);
    if (error != std::errc()) return std::nullopt;
    shape.push_back(value);
    at = static_cast<size_t>(end - text.data());
  }
  return std::nullopt;
}

struct Header {
  std::vector<uint64_t> shape;
  uint64_t data_offset = 0;
};

Result<Header> ReadHeader(const std::string& path, std::ifstream& stream) {
  std::array<char, 12> start{};
  stream.read(start.data(), 8);
  if (!stream || std::string_view(start.data(), kMagic.size()) != kMagic) {
    return Fail(ErrorCode::kCorruptFile, "{}: not a .npy file: no '\\x93NUMPY' at its start", path);
  }
  const int major = static_cast<unsigned char>(start[6]);
  if (major < 1 || major > 3) {
    return Fail(ErrorCode::kUnsupported, "{}: .npy format version {}, expected 1 to 3", path,
                major);
  }
  const int length_bytes = major == 1 ? 2 : 4;
  stream.read(start.data() + 8, length_bytes);
  size_t length = 0;
  for (int i = length_bytes - 1; i >= 0; --i) {
    length = length << 8U | static_cast<unsigned char>(start[8 + i]);
  }
  if (!stream || length > kMaxHeaderBytes) {
    return Fail(ErrorCode::kCorruptFile, "{}: .npy header of {} bytes, expected at most {}", path,
                length, kMaxHeaderBytes);
  }
  std::string text(length, '\0');
  stream.read(text.data(), static_cast<std::streamsize>(length));
  if (!stream) {
    return Fail(ErrorCode::kCorruptFile, "{}: the file ends inside its .npy header", path);
  }

  const auto type = FieldText(text, "descr");
  const auto order = FieldText(text, "fortran_order");
  const auto shape_text = FieldText(text, "shape");
  if (!type || !order || !shape_text) {
    return Fail(ErrorCode::kCorruptFile,
                "{}: the .npy header lacks 'descr', 'fortran_order' or 'shape'", path);
  }
  if (!type->starts_with("'<f4'")) {
    return Fail(ErrorCode::kUnsupported, "{}: dtype {}, expected '<f4' (float32, little endian)",
                path, type->substr(0, type->find_first_of(",}")));
  }
  if (!order->starts_with("False")) {
    return Fail(ErrorCode::kUnsupported,
                "{}: values in Fortran order, expected C order (numpy.ascontiguousarray)", path);
  }
  auto shape = ParseShape(*shape_text);
  if (!shape) {
    return Fail(ErrorCode::kCorruptFile, "{}: shape {} is not a tuple of sizes", path,
                shape_text->substr(0, shape_text->find(')') + 1));
  }
  return Header{.shape = std::move(*shape),
                .data_offset = 8 + static_cast<uint64_t>(length_bytes) + length};
}

}  // namespace

Result<NpyReader> NpyReader::Open(const std::string& path) {
  NpyReader reader;
  reader.path_ = path;
  reader.stream_.open(path, std::ios::binary | std::ios::ate);
  if (!reader.stream_) return Fail(ErrorCode::kNotFound, "{}: cannot open the file", path);
  const auto file_bytes = static_cast<uint64_t>(reader.stream_.tellg());
  reader.stream_.seekg(0);
  auto header = ReadHeader(path, reader.stream_);
  if (!header) return Propagate(header);
  if (header->shape.size() != 2) {
    return Fail(ErrorCode::kUnsupported, "{}: {} dimensions, expected 2: [positions, vocabulary]",
                path, header->shape.size());
  }
  const uint64_t rows = header->shape[0];
  const uint64_t cols = header->shape[1];
  const uint64_t data_bytes = file_bytes - header->data_offset;
  const bool overflows =
      cols != 0 && rows > std::numeric_limits<uint64_t>::max() / sizeof(float) / cols;
  if (overflows || rows * cols * sizeof(float) != data_bytes) {
    return Fail(ErrorCode::kCorruptFile,
                "{}: {} bytes of data, expected 4 * {} * {} for shape ({}, {})", path, data_bytes,
                rows, cols, rows, cols);
  }
  reader.rows_ = rows;
  reader.cols_ = cols;
  return reader;
}

Status NpyReader::Read(std::span<float> out) {
  stream_.read(reinterpret_cast<char*>(out.data()), static_cast<std::streamsize>(out.size_bytes()));
  if (!stream_) return Fail(ErrorCode::kIo, "{}: cannot read {} more values", path_, out.size());
  return {};
}

Result<NpyWriter> NpyWriter::Create(const std::string& path, size_t rows, size_t cols) {
  std::string header =
      fmt::format("{{'descr': '<f4', 'fortran_order': False, 'shape': ({}, {}), }}", rows, cols);
  const size_t prefix = kMagic.size() + 4;
  const size_t unpadded = prefix + header.size() + 1;
  const size_t padded = (unpadded + kDataAlignment - 1) / kDataAlignment * kDataAlignment;
  header.append(padded - unpadded, ' ');
  header.push_back('\n');
  const std::array<char, 4> version_and_length = {1, 0, static_cast<char>(header.size() & 0xFFU),
                                                  static_cast<char>(header.size() >> 8U)};
  header.insert(0, version_and_length.data(), version_and_length.size());
  header.insert(0, kMagic);

  const uint64_t n_values = static_cast<uint64_t>(rows) * cols;
  auto file = OutputFile::Create(path, header.size() + n_values * sizeof(float));
  if (!file) return Propagate(file);
  if (Status status = file->Write(std::as_bytes(std::span(header))); !status) {
    return Propagate(status);
  }
  return NpyWriter(path, std::move(*file), n_values);
}

Status NpyWriter::Write(std::span<const float> values) {
  if (values.size() > missing_values_) {
    return Fail(ErrorCode::kInvalidArgument, "{}: {} values too many", path_,
                values.size() - missing_values_);
  }
  missing_values_ -= values.size();
  return file_.Write(std::as_bytes(values));
}

Status NpyWriter::Finish() {
  if (missing_values_ != 0) {
    return Fail(ErrorCode::kInvalidArgument, "{}: {} values were never written", path_,
                missing_values_);
  }
  return file_.Commit();
}

}  // namespace quern
