// llama.cpp behind a small command line, so that tests and measurements can ask it for tokens,
// logits, blocks and speed.
//
// Lists travel on stdin and stdout as records: a uint32 count, then that many bytes (text) or int32
// values (tokens), in the machine's byte order. Rows of weights travel as plain float32 or block
// bytes.
#include <ggml-backend.h>
#include <ggml.h>
#include <llama.h>
#include <sys/resource.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iostream>
#include <iterator>
#include <map>
#include <memory>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

#include "tools/quality/npy.h"

namespace {

using Clock = std::chrono::steady_clock;
using Tokens = std::vector<llama_token>;

[[noreturn]] void Die(const std::string& message) {
  std::fprintf(stderr, "error: %s\n", message.c_str());
  std::exit(1);
}

double SecondsSince(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

void LogErrorsOnly(ggml_log_level level, const char* text, void* /*user_data*/) {
  if (level == GGML_LOG_LEVEL_ERROR) std::fputs(text, stderr);
}

std::string ReadStdin() {
  return {std::istreambuf_iterator<char>(std::cin), std::istreambuf_iterator<char>()};
}

void WriteStdout(const void* data, size_t bytes) {
  if (std::fwrite(data, 1, bytes, stdout) != bytes) Die("cannot write to stdout");
}

template <typename T>
std::vector<std::vector<T>> ReadRecords() {
  const std::string input = ReadStdin();
  std::vector<std::vector<T>> records;
  for (size_t at = 0; at < input.size();) {
    uint32_t count = 0;
    if (input.size() - at < sizeof(count)) Die("stdin ends inside a record's count");
    std::memcpy(&count, input.data() + at, sizeof(count));
    at += sizeof(count);
    if ((input.size() - at) / sizeof(T) < count) Die("stdin ends inside a record");
    std::vector<T>& record = records.emplace_back(count);
    if (count != 0) std::memcpy(record.data(), input.data() + at, count * sizeof(T));
    at += count * sizeof(T);
  }
  return records;
}

template <typename Container>
void WriteRecord(const Container& record) {
  const auto count = static_cast<uint32_t>(record.size());
  WriteStdout(&count, sizeof(count));
  WriteStdout(record.data(), record.size() * sizeof(record[0]));
}

struct ModelOptions {
  std::string path;
  bool vocab_only = false;
  bool use_repacking = true;
};

struct ContextOptions {
  int threads = 2;
  uint32_t n_ctx = 4096;
  uint32_t batch = 512;
  uint32_t sequences = 1;
  std::string flash_attention = "auto";
  std::string kv_type = "F16";
};

struct FreeModel {
  void operator()(llama_model* model) const { llama_model_free(model); }
};
struct FreeContext {
  void operator()(llama_context* context) const { llama_free(context); }
};
using ModelPtr = std::unique_ptr<llama_model, FreeModel>;
using ContextPtr = std::unique_ptr<llama_context, FreeContext>;

ggml_type TypeFromName(const std::string& name) {
  for (int i = 0; i < GGML_TYPE_COUNT; ++i) {
    const auto type = static_cast<ggml_type>(i);
    const char* candidate = ggml_type_name(type);
    if (candidate != nullptr && CLI::detail::to_lower(candidate) == CLI::detail::to_lower(name)) {
      return type;
    }
  }
  Die("unknown tensor type '" + name + "'");
}

ModelPtr LoadModel(const ModelOptions& options) {
  llama_model_params params = llama_model_default_params();
  params.vocab_only = options.vocab_only;
  params.use_extra_bufts = options.use_repacking;
  ModelPtr model(llama_model_load_from_file(options.path.c_str(), params));
  if (!model) Die("llama.cpp cannot load " + options.path);
  return model;
}

ContextPtr MakeContext(llama_model* model, const ContextOptions& options) {
  static const std::map<std::string, llama_flash_attn_type> kFlashAttention = {
      {"auto", LLAMA_FLASH_ATTN_TYPE_AUTO},
      {"on", LLAMA_FLASH_ATTN_TYPE_ENABLED},
      {"off", LLAMA_FLASH_ATTN_TYPE_DISABLED}};
  llama_context_params params = llama_context_default_params();
  params.n_ctx = options.n_ctx;
  params.n_batch = options.batch;
  params.n_ubatch = options.batch;
  params.n_seq_max = options.sequences;
  params.n_threads = options.threads;
  params.n_threads_batch = options.threads;
  params.flash_attn_type = kFlashAttention.at(options.flash_attention);
  params.type_k = TypeFromName(options.kv_type);
  params.type_v = params.type_k;
  ContextPtr context(llama_init_from_model(model, params));
  if (!context) Die("llama.cpp cannot make a context");
  return context;
}

int32_t VocabSize(const llama_model* model) {
  return llama_vocab_n_tokens(llama_model_get_vocab(model));
}

// One llama_decode over parallel lists; `token_of(i)`, position, sequence and whether logits are
// wanted.
class Batch {
 public:
  explicit Batch(uint32_t capacity)
      : batch_(llama_batch_init(static_cast<int32_t>(capacity), 0, 1)) {}
  ~Batch() { llama_batch_free(batch_); }
  Batch(const Batch&) = delete;
  Batch& operator=(const Batch&) = delete;

  void Clear() { batch_.n_tokens = 0; }
  void Add(llama_token token, llama_pos position, llama_seq_id sequence, bool wants_logits) {
    const int32_t i = batch_.n_tokens++;
    batch_.token[i] = token;
    batch_.pos[i] = position;
    batch_.n_seq_id[i] = 1;
    batch_.seq_id[i][0] = sequence;
    batch_.logits[i] = wants_logits ? 1 : 0;
  }
  void Decode(llama_context* context) {
    if (const int32_t rc = llama_decode(context, batch_); rc != 0) {
      Die("llama_decode failed with code " + std::to_string(rc));
    }
  }

 private:
  llama_batch batch_;
};

// Feeds `tokens` to sequence 0 from `position` on, in steps of the context's batch size.
// `on_step(first, count)` runs after each; with `all_logits` every row has logits, else the very
// last alone.
template <typename OnStep>
void Prefill(llama_context* context, const Tokens& tokens, llama_pos position, bool all_logits,
             const OnStep& on_step) {
  const size_t step = llama_n_batch(context);
  Batch batch(static_cast<uint32_t>(step));
  for (size_t first = 0; first < tokens.size(); first += step) {
    const size_t end = std::min(tokens.size(), first + step);
    batch.Clear();
    for (size_t i = first; i < end; ++i) {
      batch.Add(tokens[i], position + static_cast<llama_pos>(i), 0,
                all_logits || i + 1 == tokens.size());
    }
    batch.Decode(context);
    on_step(first, end - first);
  }
}

void CheckTokens(const llama_model* model, const Tokens& tokens) {
  for (const llama_token token : tokens) {
    if (token < 0 || token >= VocabSize(model)) {
      Die("token " + std::to_string(token) + " is outside the vocabulary of " +
          std::to_string(VocabSize(model)));
    }
  }
}

void RunTokenize(const ModelOptions& model_options, bool add_special, bool parse_special) {
  const ModelPtr model = LoadModel(model_options);
  const llama_vocab* vocab = llama_model_get_vocab(model.get());
  for (const std::vector<char>& text : ReadRecords<char>()) {
    const auto length = static_cast<int32_t>(text.size());
    Tokens tokens(text.size() + 8);
    int32_t n = llama_tokenize(vocab, text.data(), length, tokens.data(),
                               static_cast<int32_t>(tokens.size()), add_special, parse_special);
    if (n < 0) {
      tokens.resize(static_cast<size_t>(-n));
      n = llama_tokenize(vocab, text.data(), length, tokens.data(), -n, add_special, parse_special);
    }
    tokens.resize(static_cast<size_t>(n));
    WriteRecord(tokens);
  }
}

void RunDetokenize(const ModelOptions& model_options, bool remove_special, bool render_special) {
  const ModelPtr model = LoadModel(model_options);
  const llama_vocab* vocab = llama_model_get_vocab(model.get());
  for (const Tokens& tokens : ReadRecords<llama_token>()) {
    const auto count = static_cast<int32_t>(tokens.size());
    std::string text(tokens.size() * 16 + 16, '\0');
    int32_t n = llama_detokenize(vocab, tokens.data(), count, text.data(),
                                 static_cast<int32_t>(text.size()), remove_special, render_special);
    if (n < 0) {
      text.resize(static_cast<size_t>(-n));
      n = llama_detokenize(vocab, tokens.data(), count, text.data(), -n, remove_special,
                           render_special);
    }
    text.resize(static_cast<size_t>(n));
    WriteRecord(text);
  }
}

void RunLogits(const ModelOptions& model_options, const ContextOptions& context_options,
               const Tokens& tokens, const std::string& out) {
  const ModelPtr model = LoadModel(model_options);
  CheckTokens(model.get(), tokens);
  const ContextPtr context = MakeContext(model.get(), context_options);
  const auto n_vocab = static_cast<size_t>(VocabSize(model.get()));
  auto writer = quern::NpyWriter::Create(out, tokens.size(), n_vocab);
  if (!writer) Die(writer.error().message);
  Prefill(context.get(), tokens, 0, true, [&](size_t /*first*/, size_t count) {
    const quern::Status written = writer->Write({llama_get_logits(context.get()), count * n_vocab});
    if (!written) Die(written.error().message);
  });
  if (const quern::Status finished = writer->Finish(); !finished) Die(finished.error().message);
}

llama_token Greedy(llama_context* context, int32_t row, size_t n_vocab) {
  const float* logits = llama_get_logits_ith(context, row);
  return static_cast<llama_token>(std::max_element(logits, logits + n_vocab) - logits);
}

void RunGenerate(const ModelOptions& model_options, const ContextOptions& context_options,
                 size_t max_tokens, bool ignore_eog) {
  const ModelPtr model = LoadModel(model_options);
  const llama_vocab* vocab = llama_model_get_vocab(model.get());
  const ContextPtr context = MakeContext(model.get(), context_options);
  const auto n_vocab = static_cast<size_t>(VocabSize(model.get()));
  Batch batch(1);
  for (const Tokens& prompt : ReadRecords<llama_token>()) {
    CheckTokens(model.get(), prompt);
    llama_memory_clear(llama_get_memory(context.get()), false);
    Prefill(context.get(), prompt, 0, false, [](size_t, size_t) {});
    Tokens answer;
    auto position = static_cast<llama_pos>(prompt.size());
    while (answer.size() < max_tokens) {
      const llama_token next = Greedy(context.get(), -1, n_vocab);
      answer.push_back(next);
      if (!ignore_eog && llama_vocab_is_eog(vocab, next)) break;
      batch.Clear();
      batch.Add(next, position++, 0, true);
      batch.Decode(context.get());
    }
    WriteRecord(answer);
  }
}

void RunQuantize(const std::string& in, const std::string& out, const std::string& type,
                 int threads, bool pure) {
  static const std::map<std::string, llama_ftype> kFileTypes = {
      {"F32", LLAMA_FTYPE_ALL_F32},          {"F16", LLAMA_FTYPE_MOSTLY_F16},
      {"BF16", LLAMA_FTYPE_MOSTLY_BF16},     {"Q4_0", LLAMA_FTYPE_MOSTLY_Q4_0},
      {"Q4_1", LLAMA_FTYPE_MOSTLY_Q4_1},     {"Q5_0", LLAMA_FTYPE_MOSTLY_Q5_0},
      {"Q5_1", LLAMA_FTYPE_MOSTLY_Q5_1},     {"Q8_0", LLAMA_FTYPE_MOSTLY_Q8_0},
      {"Q2_K", LLAMA_FTYPE_MOSTLY_Q2_K},     {"Q3_K_S", LLAMA_FTYPE_MOSTLY_Q3_K_S},
      {"Q3_K_M", LLAMA_FTYPE_MOSTLY_Q3_K_M}, {"Q4_K_S", LLAMA_FTYPE_MOSTLY_Q4_K_S},
      {"Q4_K_M", LLAMA_FTYPE_MOSTLY_Q4_K_M}, {"Q5_K_S", LLAMA_FTYPE_MOSTLY_Q5_K_S},
      {"Q5_K_M", LLAMA_FTYPE_MOSTLY_Q5_K_M}, {"Q6_K", LLAMA_FTYPE_MOSTLY_Q6_K},
      {"IQ4_NL", LLAMA_FTYPE_MOSTLY_IQ4_NL}, {"IQ4_XS", LLAMA_FTYPE_MOSTLY_IQ4_XS}};
  const auto found = kFileTypes.find(type);
  if (found == kFileTypes.end()) Die("unknown file type '" + type + "'");
  llama_model_quantize_params params = llama_model_quantize_default_params();
  params.nthread = threads;
  params.ftype = found->second;
  params.allow_requantize = true;
  params.pure = pure;
  if (llama_model_quantize(in.c_str(), out.c_str(), &params) != 0) {
    Die("llama.cpp cannot quantize " + in);
  }
}

void RunQuantizeRows(const std::string& type_name, int64_t n_cols) {
  const ggml_type type = TypeFromName(type_name);
  const std::string input = ReadStdin();
  const size_t row_floats_bytes = static_cast<size_t>(n_cols) * sizeof(float);
  if (n_cols % ggml_blck_size(type) != 0 || input.size() % row_floats_bytes != 0) {
    Die("stdin is not whole rows of whole blocks");
  }
  const auto n_rows = static_cast<int64_t>(input.size() / row_floats_bytes);
  std::vector<float> floats(input.size() / sizeof(float));
  std::memcpy(floats.data(), input.data(), input.size());
  std::vector<char> blocks(static_cast<size_t>(n_rows) * ggml_row_size(type, n_cols));
  ggml_quantize_chunk(type, floats.data(), blocks.data(), 0, n_rows, n_cols, nullptr);
  WriteStdout(blocks.data(), blocks.size());
}

void RunDequantizeRows(const std::string& type_name, int64_t n_cols) {
  const ggml_type type = TypeFromName(type_name);
  const std::string input = ReadStdin();
  const size_t row_bytes = ggml_row_size(type, n_cols);
  if (n_cols % ggml_blck_size(type) != 0 || input.size() % row_bytes != 0) {
    Die("stdin is not whole rows of whole blocks");
  }
  const ggml_to_float_t to_float = ggml_get_type_traits(type)->to_float;
  std::vector<float> row(static_cast<size_t>(n_cols));
  for (size_t at = 0; at < input.size(); at += row_bytes) {
    if (type == GGML_TYPE_F32) {
      std::memcpy(row.data(), input.data() + at, row_bytes);
    } else {
      to_float(input.data() + at, row.data(), n_cols);
    }
    WriteStdout(row.data(), row.size() * sizeof(float));
  }
}

// Token ids that touch many embedding rows and are the same in every run.
Tokens BenchTokens(size_t n, size_t n_vocab) {
  Tokens tokens(n);
  for (size_t i = 0; i < n; ++i) {
    tokens[i] = static_cast<llama_token>((i * 7919 + 1) % n_vocab);
  }
  return tokens;
}

// Times one context; its sequences have `depth` positions filled before.
class Stopwatch {
 public:
  Stopwatch(llama_model* model, const ContextOptions& options, size_t depth)
      : n_vocab_(static_cast<size_t>(VocabSize(model))),
        depth_(static_cast<llama_pos>(depth)),
        n_sequences_(static_cast<llama_seq_id>(options.sequences)),
        context_(MakeContext(model, options)) {
    Prefill(context_.get(), BenchTokens(depth, n_vocab_), 0, false, [](size_t, size_t) {});
    for (llama_seq_id s = 1; s < n_sequences_; ++s) {
      llama_memory_seq_cp(llama_get_memory(context_.get()), 0, s, -1, -1);
    }
    // The first evaluation allocates and faults memory in; it is not timed.
    Decode(1);
  }

  // Tokens per second of a prompt.
  double RunPrompt(size_t n_tokens) {
    const Tokens tokens = BenchTokens(n_tokens, n_vocab_);
    const auto begin = Clock::now();
    Prefill(context_.get(), tokens, depth_, false, [](size_t, size_t) {});
    llama_synchronize(context_.get());
    const double seconds = SecondsSince(begin);
    GoBack();
    return static_cast<double>(n_tokens) / seconds;
  }

  // Tokens per second of all sequences together.
  double Decode(size_t n_tokens) {
    const Tokens tokens = BenchTokens(n_tokens, n_vocab_);
    Batch batch(static_cast<uint32_t>(n_sequences_));
    const auto begin = Clock::now();
    for (size_t i = 0; i < n_tokens; ++i) {
      batch.Clear();
      for (llama_seq_id s = 0; s < n_sequences_; ++s) {
        batch.Add(tokens[i], depth_ + static_cast<llama_pos>(i), s, true);
      }
      batch.Decode(context_.get());
      llama_synchronize(context_.get());
    }
    const double seconds = SecondsSince(begin);
    GoBack();
    return static_cast<double>(n_tokens) * n_sequences_ / seconds;
  }

 private:
  void GoBack() {
    for (llama_seq_id s = 0; s < n_sequences_; ++s) {
      llama_memory_seq_rm(llama_get_memory(context_.get()), s, depth_, -1);
    }
  }

  size_t n_vocab_;
  llama_pos depth_;
  llama_seq_id n_sequences_;
  ContextPtr context_;
};

// Answers each line of stdin with a line of JSON: "prompt TOKENS" and "decode TOKENS SEQUENCES".
// The size of the context is each sequence's.
void RunBench(const ModelOptions& model_options, const ContextOptions& one_sequence, size_t depth) {
  const auto start = Clock::now();
  const ModelPtr model = LoadModel(model_options);
  const double load_seconds = SecondsSince(start);
  std::printf("{\"load_seconds\": %.3f}\n", load_seconds);
  std::fflush(stdout);

  std::map<uint32_t, Stopwatch> stopwatches;  // by their number of sequences
  for (std::string line; std::getline(std::cin, line);) {
    std::istringstream words(line);
    std::string what;
    size_t n_tokens = 0;
    ContextOptions options = one_sequence;
    words >> what >> n_tokens;
    if (what == "decode") words >> options.sequences;
    options.n_ctx *= options.sequences;
    if (!words || (what != "prompt" && what != "decode")) Die("'" + line + "' is no measurement");
    Stopwatch& stopwatch =
        stopwatches.try_emplace(options.sequences, model.get(), options, depth).first->second;
    const double rate =
        what == "prompt" ? stopwatch.RunPrompt(n_tokens) : stopwatch.Decode(n_tokens);
    rusage usage{};
    getrusage(RUSAGE_SELF, &usage);
    std::printf("{\"tokens_per_second\": %.3f, \"peak_rss_bytes\": %lld}\n", rate,
                static_cast<long long>(usage.ru_maxrss) * 1024);
    std::fflush(stdout);
  }
}

void AddModel(CLI::App* command, ModelOptions& options) {
  command->add_option("model", options.path, "GGUF file")->required();
  command->add_flag("!--no-repack", options.use_repacking, "Leave the weights in GGUF's layout");
}

void AddContext(CLI::App* command, ContextOptions& options) {
  command->add_option("-t,--threads", options.threads);
  command->add_option("-c,--ctx-size", options.n_ctx);
  command->add_option("-b,--batch", options.batch, "Tokens of one step");
  command->add_option("--flash-attn", options.flash_attention)
      ->check(CLI::IsMember({"auto", "on", "off"}));
  command->add_option("--kv-type", options.kv_type);
}

Tokens ReadTokensFile(const std::string& path) {
  std::ifstream file(path);
  if (!file) Die("cannot open " + path);
  std::string text{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  std::replace(text.begin(), text.end(), ',', ' ');
  std::istringstream words(text);
  return {std::istream_iterator<llama_token>(words), std::istream_iterator<llama_token>()};
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app{"llama.cpp as the peer that Quern is compared with"};
  app.require_subcommand(1);
  ModelOptions model;
  ContextOptions context;

  CLI::App* tokenize = app.add_subcommand("tokenize", "Texts to tokens, as records");
  bool no_special = false;
  bool parse_special = false;
  AddModel(tokenize, model);
  tokenize->add_flag("--no-special", no_special, "Add neither BOS nor EOS");
  tokenize->add_flag("--parse-special", parse_special);
  tokenize->callback([&] {
    model.vocab_only = true;
    RunTokenize(model, !no_special, parse_special);
  });

  CLI::App* detokenize = app.add_subcommand("detokenize", "Tokens to texts, as records");
  bool remove_special = false;
  bool render_special = false;
  AddModel(detokenize, model);
  detokenize->add_flag("--remove-special", remove_special);
  detokenize->add_flag("--render-special", render_special);
  detokenize->callback([&] {
    model.vocab_only = true;
    RunDetokenize(model, remove_special, render_special);
  });

  CLI::App* logits = app.add_subcommand("logits", "Logits of every position to a .npy file");
  Tokens tokens;
  std::string tokens_file;
  std::string out;
  AddModel(logits, model);
  AddContext(logits, context);
  logits->add_option("--tokens", tokens, "1,2,3")->delimiter(',');
  logits->add_option("--tokens-file", tokens_file);
  logits->add_option("-o,--output", out)->required();
  logits->callback([&] {
    RunLogits(model, context, tokens_file.empty() ? tokens : ReadTokensFile(tokens_file), out);
  });

  CLI::App* generate = app.add_subcommand("generate", "Greedy answers to prompts of tokens");
  size_t max_tokens = 64;
  bool ignore_eog = false;
  AddModel(generate, model);
  AddContext(generate, context);
  generate->add_option("-n,--n-predict", max_tokens);
  generate->add_flag("--ignore-eos", ignore_eog);
  generate->callback([&] { RunGenerate(model, context, max_tokens, ignore_eog); });

  CLI::App* quantize = app.add_subcommand("quantize", "Quantizes a whole file");
  std::string in;
  std::string type;
  bool pure = false;
  quantize->add_option("in", in)->required();
  quantize->add_option("out", out)->required();
  quantize->add_option("type", type)->required();
  quantize->add_option("-t,--threads", context.threads);
  quantize->add_flag("--pure", pure, "One type for all tensors");
  quantize->callback([&] { RunQuantize(in, out, type, context.threads, pure); });

  int64_t n_cols = 0;
  CLI::App* quantize_rows = app.add_subcommand("quantize-rows", "float32 rows to blocks");
  quantize_rows->add_option("type", type)->required();
  quantize_rows->add_option("n_cols", n_cols)->required()->check(CLI::PositiveNumber);
  quantize_rows->callback([&] { RunQuantizeRows(type, n_cols); });

  CLI::App* dequantize_rows = app.add_subcommand("dequantize-rows", "Blocks to float32 rows");
  dequantize_rows->add_option("type", type)->required();
  dequantize_rows->add_option("n_cols", n_cols)->required()->check(CLI::PositiveNumber);
  dequantize_rows->callback([&] { RunDequantizeRows(type, n_cols); });

  size_t depth = 0;
  CLI::App* bench =
      app.add_subcommand("bench", "Speed, as JSON: 'prompt TOKENS' or 'decode TOKENS SEQUENCES'");
  AddModel(bench, model);
  AddContext(bench, context);
  bench->add_option("-d,--depth", depth, "Positions filled before");
  bench->callback([&] { RunBench(model, context, depth); });

  // Backends log from here on; the callbacks above run inside the parse.
  llama_log_set(LogErrorsOnly, nullptr);
  ggml_backend_load_all_from_path(QUERN_PEER_LIB_DIR);
  llama_backend_init();
  CLI11_PARSE(app, argc, argv);
  return 0;
}
