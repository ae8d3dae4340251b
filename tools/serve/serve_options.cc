#include "tools/serve/serve_options.h"

#include <fmt/format.h>

#include <chrono>
#include <map>
#include <utility>
#include <vector>

#include "server/access/access_control.h"

namespace quern {
namespace {

constexpr int kDay = 86400;                 // seconds
constexpr uint64_t kMaxAuditMib = 1 << 20;  // 1 TiB

/// llama-server's environment variables, for what is not given on the command line.
void NameVariables(CLI::App* command) {
  std::string footer = "What is not given is taken from the environment:";
  for (const auto& [option, variable] : {std::pair{"--model", "LLAMA_ARG_MODEL"},
                                         {"--hf-repo", "LLAMA_ARG_HF_REPO"},
                                         {"--hf-file", "LLAMA_ARG_HF_FILE"},
                                         {"--models-dir", "LLAMA_ARG_MODELS_DIR"},
                                         {"--models-max", "LLAMA_ARG_MODELS_MAX"},
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
  model.model.AddTo(command);
  CLI::Option* alias = command->add_option("-a,--alias", model.id, "Name of the model for clients")
                           ->type_name("NAME");
  CLI::Option* file =
      command
          ->add_option(
              "--models-file", models_file,
              "TOML file of several models and of routers between them; read again at SIGHUP")
          ->type_name("FILE");
  CLI::Option* folder =
      command
          ->add_option("--models-dir", models_folder,
                       "Folder whose GGUF files are all offered, by name; read again at SIGHUP")
          ->type_name("FOLDER");
  folder->excludes(file);
  for (CLI::Option* several : {file, folder}) {
    for (const char* one : {"--model", "--hf-repo"}) several->excludes(command->get_option(one));
    several->excludes(alias);
  }
  command
      ->add_option("--models-memory", models_bytes,
                   "Memory for several models together, such as 24GB: those unused for longest are "
                   "unloaded for others (default: what is available at the start)")
      ->transform(CLI::AsSizeValue(/*kb_is_1000=*/false))
      ->type_name("SIZE");
  command
      ->add_option("--models-max", max_loaded,
                   "Most models that are loaded together (default: what fits in memory)")
      ->check(CLI::Range(size_t{1}, size_t{1000}));
  command
      ->add_option("--load-wait", load_wait_seconds,
                   "Seconds that a request waits while its model, one of several, is being loaded")
      ->check(CLI::Range(0, kDay))
      ->capture_default_str();
  command->add_option("--host", http.host, "Address to listen on")
      ->type_name("ADDRESS")
      ->capture_default_str();
  command->add_option("--port", http.port, "Port; 0 takes any free one")
      ->check(CLI::Range(0, 65535))
      ->capture_default_str();

  command
      ->add_option("--api-key", http.api_keys,
                   "Key that clients must send; may be given again, or be several with commas "
                   "between")
      ->delimiter(',')
      ->type_name("KEY");
  command
      ->add_option("--api-key-file", http.api_key_file,
                   "File of keys, one a line, as `quern key new` writes them or plain; # begins "
                   "a comment. Read again at SIGHUP")
      ->type_name("FILE");
  command
      ->add_option("--usage-file", http.usage_file,
                   "File that keeps the tokens that keys have used today, so that a restart does "
                   "not begin the day anew")
      ->type_name("FILE");
  command
      ->add_option_function<int>(
          "--signature-window",
          [this](int seconds) { http.signature_window = std::chrono::seconds(seconds); },
          "Most seconds between the time of a signed request and the server's")
      ->check(CLI::Range(1, kDay))
      ->default_str(std::to_string(http.signature_window.count()));
  command
      ->add_option("--rate-limit", rate_limit,
                   "Most POST requests of a key, or of an address where no keys are asked for, "
                   "such as 60/min or 10/s; none: no limit (default: 60/min where other machines "
                   "reach the server)")
      ->type_name("RATE");
  CLI::Option* certificate =
      command
          ->add_option("--ssl-cert-file", tls.certificate,
                       "Speak TLS with this certificate, in PEM format (`quern cert` makes one)")
          ->type_name("FILE");
  CLI::Option* key =
      command->add_option("--ssl-key-file", tls.key, "Its private key")->type_name("FILE");
  certificate->needs(key);
  key->needs(certificate);
  command->add_flag("--insecure", http.insecure,
                    "Serve an address that other machines reach without a key");
  command
      ->add_option("--cors-origins", http.cors_origins,
                   "Origins whose web pages may use the server, with commas between; localhost: "
                   "pages of this machine; *: all (default: none)")
      ->delimiter(',')
      ->type_name("ORIGIN");

  model.AddTo(command);
  command->add_flag("--context-shift", http.answering.context_shift,
                    "Drop the older half of a full context and go on, rather than end the answer");
  AddChoice(command, "--pooling", &http.answering.pooling,
            {{"mean", Pooling::kMean}, {"last", Pooling::kLast}},
            "How a text's embedding is made: mean (default) or last");

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
  command->add_option("--log-file", log.file, "File that the log is appended to (default: stderr)")
      ->type_name("FILE");
  AddChoice(command, "--log-format", &log.format,
            {{"text", LogFormat::kText}, {"json", LogFormat::kJson}},
            "Lines of the log: text (default) or json");
  AddChoice(command, "--log-level", &log.level,
            {{"debug", LogLevel::kDebug},
             {"info", LogLevel::kInfo},
             {"warning", LogLevel::kWarning},
             {"error", LogLevel::kError}},
            "Least of what is logged: debug, info (default), warning or error");
  CLI::Option* audit_log =
      command
          ->add_option(
              "--audit-log", audit.file,
              "File of JSON lines that tell of each request who asked, and a SHA-256 of what")
          ->type_name("FILE");
  command->add_flag("--audit-content", audit.with_content, "Put the prompts themselves there too")
      ->needs(audit_log);
  command
      ->add_option(
          "--audit-size", audit_mib,
          "MiB after which it is set aside as FILE.1, an older one as FILE.2 and so on; 0: "
          "never")
      ->needs(audit_log)
      ->check(CLI::Range(uint64_t{0}, kMaxAuditMib))
      ->capture_default_str();
  command->add_option("--audit-files", audit.n_kept, "Files that are set aside")
      ->needs(audit_log)
      ->check(CLI::Range(size_t{1}, size_t{1000}))
      ->capture_default_str();
  command
      ->add_option("--screening", http.screening_file,
                   "File of rules, NAME log|block PATTERN on a line, that prompts are screened by; "
                   "read again at SIGHUP (default: none)")
      ->type_name("FILE");
  command
      ->add_option("--otlp-endpoint", tracing.endpoint,
                   "URL of an OpenTelemetry collector that gets a trace of each request, by OTLP "
                   "over HTTP, such as http://127.0.0.1:4318 (default: what "
                   "OTEL_EXPORTER_OTLP_ENDPOINT says)")
      ->type_name("URL");
  NameVariables(command);
}

Status ServeOptions::Finish() {
  http.show_slots = !no_slots;
  if (!tls.certificate.empty()) http.tls = tls;
  audit.max_bytes = audit_mib << 20U;
  http.answering.queue_timeout = std::chrono::seconds(queue_timeout_seconds);
  if (timeout_seconds) {
    http.limits.body = std::chrono::seconds(*timeout_seconds);
    http.limits.write = http.limits.body;
  }
  if (rate_limit.empty() && !IsLoopback(http.host)) rate_limit = "60/min";
  if (rate_limit.empty() || rate_limit == "none") return {};
  Result<RequestRate> rate = ParseRequestRate(rate_limit);
  if (!rate) return Fail(rate.error().code, "--rate-limit: {}", rate.error().message);
  http.rate_limit = *rate;
  return {};
}

Result<ModelList> ServeOptions::ListModels() const {
  if (!models_file.empty()) return ReadModelsFile(models_file, model);
  if (!models_folder.empty()) return ListModelsFolder(models_folder, model);
  return ModelList{.models = {model}, .routers = {}, .default_name = ""};
}

}  // namespace quern
