#include "tests/peer/peer.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstring>
#include <filesystem>
#include <fstream>

#include "tests/testing/read_file.h"
#include "tests/testing/temp_dir.h"
#include "tools/quality/npy.h"

namespace quern::peer {
namespace {

using quern::testing::ReadFile;

// Runs the driver with `input` on stdin and returns its stdout. Files, not pipes: neither side can
// block the other.
Result<std::string> RunDriver(std::vector<std::string> arguments, const std::string& input = "") {
  if (!IsAvailable()) return Fail(ErrorCode::kNotFound, "this build has no llama.cpp");
  const quern::testing::TempDir scratch;
  const std::string in = scratch.File("in");
  const std::string out = scratch.File("out");
  const std::string errors = scratch.File("errors");
  if (!(std::ofstream(in, std::ios::binary) << input)) {
    return Fail(ErrorCode::kIo, "cannot write {}", in);
  }

  arguments.insert(arguments.begin(), QUERN_PEER_DRIVER);
  std::vector<char*> argv;
  for (std::string& argument : arguments) argv.push_back(argument.data());
  argv.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, in.c_str(), O_RDONLY, 0);
  posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, out.c_str(), O_WRONLY | O_CREAT, 0600);
  posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, errors.c_str(), O_WRONLY | O_CREAT,
                                   0600);
  // In a sanitizer build the driver is instrumented and llama.cpp is not: what it leaks, and how
  // its threads meet, would be reported as errors of ours.
  std::string asan = "ASAN_OPTIONS=detect_leaks=0";
  std::string tsan = "TSAN_OPTIONS=report_bugs=0";
  std::vector<char*> environment = {asan.data(), tsan.data()};  // the first of a name counts
  for (char** variable = environ; *variable != nullptr; ++variable) {
    environment.push_back(*variable);
  }
  environment.push_back(nullptr);
  pid_t pid = 0;
  const int spawned =
      posix_spawn(&pid, argv[0], &actions, nullptr, argv.data(), environment.data());
  posix_spawn_file_actions_destroy(&actions);
  if (spawned != 0) {
    return Fail(ErrorCode::kIo, "cannot start {}: {}", argv[0], std::strerror(spawned));
  }
  int status = 0;
  waitpid(pid, &status, 0);
  if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
    return Fail(ErrorCode::kIo, "llama_peer {} ended with status {}: {}", arguments[1], status,
                ReadFile(errors));
  }
  return ReadFile(out);
}

template <typename T, typename Record>
std::string ToRecords(std::span<const Record> records) {
  std::string bytes;
  for (const Record& record : records) {
    const auto count = static_cast<uint32_t>(record.size());
    bytes.append(reinterpret_cast<const char*>(&count), sizeof(count));
    bytes.append(reinterpret_cast<const char*>(record.data()), record.size() * sizeof(T));
  }
  return bytes;
}

template <typename T, typename Record>
Result<std::vector<Record>> FromRecords(const std::string& bytes, size_t expected) {
  std::vector<Record> records;
  for (size_t at = 0; at < bytes.size();) {
    uint32_t count = 0;
    if (bytes.size() - at < sizeof(count)) break;
    std::memcpy(&count, bytes.data() + at, sizeof(count));
    at += sizeof(count);
    if ((bytes.size() - at) / sizeof(T) < count) break;
    Record& record = records.emplace_back(count, T());
    if (count > 0) std::memcpy(record.data(), bytes.data() + at, count * sizeof(T));
    at += count * sizeof(T);
  }
  if (records.size() != expected) {
    return Fail(ErrorCode::kIo, "llama_peer gave {} records, expected {}", records.size(),
                expected);
  }
  return records;
}

}  // namespace

bool IsAvailable() { return std::strlen(QUERN_PEER_DRIVER) > 0; }

std::string ModelsFile(const std::string& name) { return QUERN_PEER_MODELS_DIR "/" + name; }

bool HasModelsFiles() { return std::filesystem::exists(ModelsFile("ggml-vocab-llama-bpe.gguf")); }

Result<std::vector<std::vector<Token>>> Tokenize(const std::string& model,
                                                 std::span<const std::string> texts,
                                                 const TokenizeOptions& options) {
  std::vector<std::string> arguments = {"tokenize", model};
  if (!options.add_special) arguments.emplace_back("--no-special");
  if (options.parse_special) arguments.emplace_back("--parse-special");
  auto output = RunDriver(std::move(arguments), ToRecords<char>(texts));
  if (!output) return Propagate(output);
  return FromRecords<Token, std::vector<Token>>(*output, texts.size());
}

Result<std::vector<std::string>> Detokenize(const std::string& model,
                                            std::span<const std::vector<Token>> tokens,
                                            bool render_special) {
  std::vector<std::string> arguments = {"detokenize", model};
  if (render_special) arguments.emplace_back("--render-special");
  auto output = RunDriver(std::move(arguments), ToRecords<Token>(tokens));
  if (!output) return Propagate(output);
  return FromRecords<char, std::string>(*output, tokens.size());
}

Result<std::vector<float>> Logits(const std::string& model, std::span<const Token> tokens,
                                  const LogitsOptions& options) {
  const quern::testing::TempDir scratch;
  const std::string tokens_path = scratch.File("tokens");
  const std::string npy_path = scratch.File("logits.npy");
  std::ofstream tokens_file(tokens_path);
  for (const Token token : tokens) tokens_file << token << '\n';
  tokens_file.close();
  auto output = RunDriver({"logits", model, "--tokens-file", tokens_path, "-o", npy_path, "-t",
                           std::to_string(options.threads), "-b", std::to_string(options.batch),
                           "--kv-type", options.kv_type, "--flash-attn", options.flash_attn});
  if (!output) return Propagate(output);
  auto reader = NpyReader::Open(npy_path);
  if (!reader) return Propagate(reader);
  std::vector<float> logits(reader->rows() * reader->cols());
  if (Status read = reader->Read(logits); !read) return Propagate(read);
  return logits;
}

Result<std::vector<std::vector<Token>>> Generate(const std::string& model,
                                                 std::span<const std::vector<Token>> prompts,
                                                 size_t max_tokens) {
  auto output = RunDriver({"generate", model, "-n", std::to_string(max_tokens), "-t", "1"},
                          ToRecords<Token>(prompts));
  if (!output) return Propagate(output);
  return FromRecords<Token, std::vector<Token>>(*output, prompts.size());
}

Status Quantize(const std::string& in, const std::string& out, const std::string& type, bool pure) {
  std::vector<std::string> arguments = {"quantize", in, out, type};
  if (pure) arguments.emplace_back("--pure");
  auto output = RunDriver(std::move(arguments));
  if (!output) return Propagate(output);
  return {};
}

Result<std::vector<std::byte>> QuantizeRows(GgmlType type, size_t n_cols,
                                            std::span<const float> rows) {
  const std::string input(reinterpret_cast<const char*>(rows.data()), rows.size_bytes());
  auto output =
      RunDriver({"quantize-rows", std::string(NameOf(type)), std::to_string(n_cols)}, input);
  if (!output) return Propagate(output);
  std::vector<std::byte> blocks(output->size());
  std::memcpy(blocks.data(), output->data(), output->size());
  return blocks;
}

Result<std::vector<float>> DequantizeRows(GgmlType type, size_t n_cols,
                                          std::span<const std::byte> rows) {
  const std::string input(reinterpret_cast<const char*>(rows.data()), rows.size());
  auto output =
      RunDriver({"dequantize-rows", std::string(NameOf(type)), std::to_string(n_cols)}, input);
  if (!output) return Propagate(output);
  std::vector<float> floats(output->size() / sizeof(float));
  std::memcpy(floats.data(), output->data(), floats.size() * sizeof(float));
  return floats;
}

}  // namespace quern::peer
