// `quern key`: API keys for `quern serve`, and signatures with them.
#include <fmt/format.h>

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>

#include "gguf/base/printable.h"
#include "gguf/base/read_text.h"
#include "server/access/api_key.h"
#include "server/access/key_file.h"
#include "server/access/request_signature.h"
#include "tools/cli/commands.h"

namespace quern {
namespace {

struct KeyOptions {
  std::string name;
  std::string file = "quern.keys";
  std::string rate;
  KeyLimits limits;
  bool may_sign = false;
  bool must_sign = false;

  Signing signing() const {
    return must_sign ? Signing::kRequired : may_sign ? Signing::kOptional : Signing::kNever;
  }
};

Result<int> NewKey(const KeyOptions& options) {
  KeyLimits limits = options.limits;
  if (!options.rate.empty()) {
    Result<RequestRate> rate = ParseRequestRate(options.rate);
    if (!rate) return Fail(rate.error().code, "--rate: {}", rate.error().message);
    limits.rate = *rate;
  }
  const std::string secret = ApiKey::NewSecret();
  Result<ApiKey> key = ApiKey::Create(options.name, secret, limits, options.signing());
  if (!key) return Propagate(key);
  if (Status status = AppendToKeyFile(options.file, *key); !status) return Propagate(status);
  fmt::print("{}\n", secret);
  fmt::print(stderr,
             "This is the key of {}, shown this once; {} has its digest{}.\n"
             "A server that has the file (--api-key-file) takes it after a SIGHUP.\n",
             options.name, options.file,
             options.signing() == Signing::kNever ? "" : ", and what checks its signatures");
  return 0;
}

struct SignOptions {
  std::string name;
  std::string target;
  std::string body_file;
  std::string method;
  std::string key;
};

/// Now, with the fraction that tells requests of one second apart.
std::string SignatureTime() {
  using std::chrono::microseconds;
  const auto now = std::chrono::floor<microseconds>(std::chrono::system_clock::now());
  const int64_t count = now.time_since_epoch().count();
  return fmt::format("{}.{:06}", count / 1'000'000, count % 1'000'000);
}

Result<int> SignRequest(const SignOptions& options) {
  if (!options.target.starts_with('/')) {
    return Fail(ErrorCode::kInvalidArgument, "{} is no path of a server, expected a '/' before it",
                Quoted(options.target));
  }
  std::string body;
  if (!options.body_file.empty()) {
    Result<std::string> text = ReadText(options.body_file);
    if (!text) return Propagate(text);
    body = *std::move(text);
  }
  if (options.key.empty()) {
    return Fail(ErrorCode::kInvalidArgument,
                "no key to sign with: set QUERN_API_KEY, or give --key");
  }
  // The key would only be refused later, by every server.
  if (Result<ApiKey> key = ApiKey::Create(options.name, options.key); !key) return Propagate(key);
  const std::string time = SignatureTime();
  const std::string method = !options.method.empty()     ? options.method
                             : options.body_file.empty() ? "GET"
                                                         : "POST";
  const Sha256Digest signature =
      Signature(SigningSecret(options.key),
                {.timestamp = time, .method = method, .target = options.target, .body = body});
  fmt::print("{}: {}\n{}: {}\n{}: {}\n", kSignatureKeyHeader, options.name, kSignatureTimeHeader,
             time, kSignatureHeader, Hex(signature));
  return 0;
}

constexpr const char* kSignHelp = R"(
It prints the headers that `curl -H @-` reads:

  read -rs QUERN_API_KEY && export QUERN_API_KEY
  quern key sign alice /v1/models | curl -H @- http://127.0.0.1:8080/v1/models
  quern key sign alice /v1/completions --body request.json |
    curl -H @- --data-binary @request.json http://127.0.0.1:8080/v1/completions

The server knows the key as NAME: by the file's line that `quern key new --signed NAME` has written,
or as option-N for the Nth --api-key and line-N for a plain key in the Nth line of its file.

)";

void AddSignCommand(Commands& commands, CLI::App* group) {
  auto options = std::make_shared<SignOptions>();
  CLI::App* command = commands.Add(
      "sign", "Sign a request with a key, and print its headers",
      [options] { return SignRequest(*options); }, group);
  command->add_option("NAME", options->name, "The key's name")->required();
  command->add_option("PATH", options->target, "What is asked for, with its query if there is one")
      ->required();
  command->add_option("--body", options->body_file, "File of the request's body; -: stdin")
      ->type_name("FILE");
  command
      ->add_option("-X,--method", options->method,
                   "GET, POST and so on (default: POST where there is a body, else GET)")
      ->type_name("METHOD");
  command
      ->add_option("--key", options->key,
                   "The key (default: QUERN_API_KEY, which other users of this machine do not see)")
      ->type_name("KEY")
      ->envname("QUERN_API_KEY");
  command->footer(kSignHelp);
}

}  // namespace

void AddKeyCommands(Commands& commands) {
  auto options = std::make_shared<KeyOptions>();
  CLI::App* group = commands.AddGroup("key", "Make API keys for `quern serve`, and sign with them");
  CLI::App* command = commands.Add(
      "new", "Make a key, print it, and add its digest to a file",
      [options] { return NewKey(*options); }, group);
  command->add_option("NAME", options->name, "Whose key it is, for logs and limits")->required();
  command->add_option("-f,--file", options->file, "File of keys; it is made if there is none")
      ->type_name("FILE")
      ->capture_default_str();
  command
      ->add_option("--rate", options->rate,
                   "Most requests of the key, such as 60/min, 10/s, 500/h or 9000/day")
      ->type_name("RATE");
  command->add_option("--concurrent", options->limits.concurrent, "Most requests at once")
      ->check(CLI::Range(size_t{1}, size_t{1} << 20U));
  command
      ->add_option("--tokens", options->limits.tokens_per_day,
                   "Most tokens a day, of prompts and answers")
      ->check(CLI::Range(uint64_t{1}, uint64_t{1} << 50U));
  CLI::Option* may_sign =
      command->add_flag("--may-sign", options->may_sign, "Requests may be signed with it");
  command
      ->add_flag("--signed", options->must_sign,
                 "Requests must be signed with it; the key itself is not taken")
      ->excludes(may_sign);
  AddSignCommand(commands, group);
}

}  // namespace quern
