#include "tools/serve_options.h"

#include <fmt/format.h>

#include <chrono>
#include <map>
#include <utility>
#include <vector>

#include "runtime/sampling_defaults.h"
#include "server/access_control.h"

namespace quern {
namespace {

constexpr int kDay = 86400;  // seconds

/// llama-server's environment variables, for what is not given on the command line.
void NameVariables(CLI::App* command) {
  std::string footer = "What is not given is taken from the environment:";
  for (const auto& [option, variable] : {std::pair{"--model", "LLAMA_ARG_MODEL"},
                                         {"--hf-repo", "LLAMA_ARG_HF_REPO"},
                                         {"--hf-file", "LLAMA_ARG_HF_FILE"},
                                         {"--host", "LLAMA_ARG_HOST"},
                                         {"--port", "LLAMA_ARG_PORT"},
                                         {"--alias", "LLAMA_ARG_ALIAS"},
                                         {"--api-key", "LLAMA_API_KEY"},
                                         {"--api-key-file", "LLAMA_ARG_API_KEY_FILE"},
                                         {"--ssl-cert-file", "LLAMA_ARG_SSL_CERT_FILE"},
                                         {"--ssl-key-file", "LLAMA_ARG_SSL_KEY_FILE"},
                                         {"--cors-origins", "LLAMA_ARG_CORS_ORIGINS"},
                                         {"--ctx-size", "LLAMA_ARG_CTX_SIZE"},
                                         {"--parallel", "LLAMA_ARG_N_PARALLEL"},
                                         {"--batch-size", "LLAMA_ARG_BATCH"},
                                         {"--cache-type-k", "LLAMA_ARG_CACHE_TYPE_K"},
                                         {"--cache-type-v", "LLAMA_ARG_CACHE_TYPE_V"},
                                         {"--pooling", "LLAMA_ARG_POOLING"},
                                         {"--context-shift", "LLAMA_ARG_CONTEXT_SHIFT"},
                                         {"--no-slots", "LLAMA_ARG_NO_ENDPOINT_SLOTS"},
                                         {"--threads", "LLAMA_ARG_THREADS"},
                                         {"--n-predict", "LLAMA_ARG_N_PREDICT"},
                                         {"--chat-template", "LLAMA_ARG_CHAT_TEMPLATE"},
                                         {"--chat-template-file", "LLAMA_ARG_CHAT_TEMPLATE_FILE"},
                                         {"--timeout", "LLAMA_ARG_TIMEOUT"}}) {
    command->get_option(option)->envname(variable);
    footer += fmt::format("\n  {} for {}", variable, option);
  }
  command->footer(footer);
}

template <typename T>
void AddChoice(CLI::App* command, const std::string& names, T* value,
               const std::map<std::string, T>& choices, const std::string& description) {
  command->add_option(names, *value, description)
      ->transform(CLI::CheckedTransformer(choices, CLI::ignore_case));
}

}  // namespace

void ServeOptions::AddTo(CLI::App* command) {
  model.AddTo(command);
  command->add_option("-a,--alias", model_id, "Name of the model for clients");
  command->add_option("--host", http.host, "Address to listen on")->capture_default_str();
  command->add_option("--port", http.port, "Port; 0 takes any free one")
      ->check(CLI::Range(0, 65535))
      ->capture_default_str();

  command
      ->add_option("--api-key", http.api_keys,
                   "Key that clients must send; may be given again, or be several with commas "
                   "between")
      ->delimiter(',');
  command->add_option("--api-key-file", http.api_key_file,
                      "File of keys, one a line, as `quern key new` writes them or plain; # begins "
                      "a comment. Read again at SIGHUP");
  command->add_option(
      "--rate-limit", rate_limit,
      "Most POST requests of a key, or of an address where no keys are asked for, "
      "such as 60/min or 10/s; none: no limit (default: 60/min where other machines "
      "reach the server)");
  CLI::Option* certificate = command->add_option(
      "--ssl-cert-file", tls.certificate,
      "Speak TLS with this certificate, in PEM format (`quern cert` makes one)");
  CLI::Option* key = command->add_option("--ssl-key-file", tls.key, "Its private key");
  certificate->needs(key);
  key->needs(certificate);
  command->add_flag("--insecure", http.insecure,
                    "Serve an address that other machines reach without a key");
  command
      ->add_option("--cors-origins", http.cors_origins,
                   "Origins whose web pages may use the server, with commas between; localhost: "
                   "pages of this machine; *: all (default: none)")
      ->delimiter(',');

  AddContextOption(command, "Most tokens of a request, prompt and answer", &n_ctx);
  command
      ->add_option("--parallel", engine.max_running,
                   "Most requests that run together (default: 16; also -np)")
      ->check(CLI::Range(size_t{1}, size_t{512}));
  command
      ->add_option("--kv-tokens", engine.kv_tokens,
                   "Tokens that the KV cache holds, for all requests together (default: what full "
                   "requests in parallel take, or as much as half of the free memory)")
      ->check(CLI::Range(size_t{1}, size_t{1} << 32U));
  cache_type.AddTo(command);
  AddLoadOption(command, &load_mode);
  AddThreadsOption(command, &engine.n_threads);
  AddBatchSizeOption(command, &engine.chunk_tokens);
  command
      ->add_option("-n,--predict,--n-predict", n_predict,
                   "Most tokens of an answer where a request sets none; -1: no limit (default; 16 "
                   "for /v1/completions, as OpenAI has it)")
      ->check(CLI::Range(int64_t{-1}, int64_t{1} << 31));
  chat_template.AddTo(command);
  sampling.AddTo(command,
                 "OpenAI's, and for llama.cpp's endpoints as the model's file recommends; what a "
                 "request sets goes first");
  command->add_flag("--context-shift", http.answering.context_shift,
                    "Drop the older half of a full context and go on, rather than end the answer");
  AddChoice(command, "--pooling", &http.answering.pooling,
            {{"mean", Pooling::kMean}, {"last", Pooling::kLast}},
            "How a text's embedding is made: mean (default) or last");

  command
      ->add_option("--max-queue", max_queue,
                   "Most requests that wait; more are told to come back later")
      ->check(CLI::Range(size_t{0}, size_t{4096}))
      ->capture_default_str();
  command
      ->add_option("--queue-timeout", queue_timeout_seconds,
                   "Seconds after which a request that still waits is turned away; 0: never")
      ->check(CLI::Range(0, kDay))
      ->capture_default_str();
  command
      ->add_option("--timeout", timeout_seconds,
                   "Seconds that a client has to send a request's body, and to take each piece of "
                   "an answer (default: 60 and 30; also -to)")
      ->check(CLI::Range(1, kDay));
  command
      ->add_option("--drain-timeout", drain_seconds,
                   "Seconds that answers under way have when the server is stopped")
      ->check(CLI::Range(0, kDay))
      ->capture_default_str();

  command->add_flag("--no-slots", no_slots, "Do not show what runs at /slots");
  // Scripts for llama-server ask for what is always there.
  for (const char* name : {"--slots", "--metrics", "--cont-batching", "--jinja", "--no-webui"}) {
    command
        ->add_flag_callback(
            name, [] {}, "")
        ->group("");
  }
  command->add_option("--log-file", log.file, "File that the log is appended to (default: stderr)");
  AddChoice(command, "--log-format", &log.format,
            {{"text", LogFormat::kText}, {"json", LogFormat::kJson}},
            "Lines of the log: text (default) or json");
  AddChoice(command, "--log-level", &log.level,
            {{"debug", LogLevel::kDebug},
             {"info", LogLevel::kInfo},
             {"warning", LogLevel::kWarning},
             {"error", LogLevel::kError}},
            "Least of what is logged: debug, info (default), warning or error");
  CLI::Option* audit_log = command->add_option(
      "--audit-log", audit.file,
      "File of JSON lines that tell of each request who asked, and a SHA-256 of what");
  command->add_flag("--audit-content", audit.with_content, "Put the prompts themselves there too")
      ->needs(audit_log);
  command
      ->add_option(
          "--audit-size", audit_mib,
          "MiB after which it is set aside as FILE.1, an older one as FILE.2 and so on; 0: "
          "never")
      ->needs(audit_log)
      ->capture_default_str();
  command->add_option("--audit-files", audit.n_kept, "Files that are set aside")
      ->needs(audit_log)
      ->check(CLI::Range(size_t{1}, size_t{1000}))
      ->capture_default_str();
  command->add_option(
      "--otlp-endpoint", tracing.endpoint,
      "URL of an OpenTelemetry collector that gets a trace of each request, by OTLP "
      "over HTTP, such as http://127.0.0.1:4318 (default: what "
      "OTEL_EXPORTER_OTLP_ENDPOINT says)");
  engine.max_running = 16;
  NameVariables(command);
}

Status ServeOptions::Finish(const GgufFile& file) {
  AnswerDefaults& defaults = http.answering.defaults;
  Result<SamplingParams> recommended = RecommendedSampling(file);
  if (!recommended) return Propagate(recommended);
  defaults.native = *std::move(recommended);
  for (SamplingParams* params : {&defaults.native, &defaults.openai}) {
    Result<SamplingParams> over = sampling.Over(*params);
    if (!over) return Propagate(over);
    *params = *std::move(over);
  }
  defaults.seed = sampling.seed();
  if (n_predict >= 0) defaults.max_tokens = static_cast<size_t>(n_predict);

  // A running answer's next token takes at most about twice as long while prompts are read, and a
  // request that is cancelled or comes is noticed within about a second.
  engine.max_stretch = 2;
  engine.max_step_seconds = 1;
  http.show_slots = !no_slots;
  if (!tls.certificate.empty()) http.tls = tls;
  audit.max_bytes = audit_mib << 20U;
  http.answering.queue_timeout = std::chrono::seconds(queue_timeout_seconds);
  if (timeout_seconds) {
    http.limits.body = std::chrono::seconds(*timeout_seconds);
    http.limits.write = http.limits.body;
  }
  engine.kv_types = cache_type.types();
  if (rate_limit.empty() && !IsLoopback(http.host)) rate_limit = "60/min";
  if (rate_limit.empty() || rate_limit == "none") return {};
  Result<RequestRate> rate = ParseRequestRate(rate_limit);
  if (!rate) return Fail(rate.error().code, "--rate-limit: {}", rate.error().message);
  http.rate_limit = *rate;
  return {};
}

Result<MemoryPlan> ServeOptions::FitMemory(const GgufFile& file, const HParams& hparams,
                                           uint64_t available) {
  engine.n_ctx = ContextFor(hparams, n_ctx);
  Result<MemoryPlan> plan = PlanMemory(file, hparams,
                                       {.n_ctx = engine.n_ctx,
                                        .n_parallel = engine.max_running,
                                        .kv_tokens = engine.kv_tokens,
                                        .kv_types = engine.kv_types},
                                       available);
  if (plan) engine.kv_tokens = plan->kv_tokens;
  return plan;
}

}  // namespace quern
