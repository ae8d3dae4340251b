// `quern key`: API keys for `quern serve`.
#include <fmt/format.h>

#include <memory>
#include <string>

#include "server/api_key.h"
#include "server/key_file.h"
#include "tools/commands.h"

namespace quern {
namespace {

struct KeyOptions {
  std::string name;
  std::string file = "quern.keys";
  std::string rate;
  KeyLimits limits;
};

Result<int> NewKey(const KeyOptions& options) {
  KeyLimits limits = options.limits;
  if (!options.rate.empty()) {
    Result<RequestRate> rate = ParseRequestRate(options.rate);
    if (!rate) return Fail(rate.error().code, "--rate: {}", rate.error().message);
    limits.rate = *rate;
  }
  const std::string secret = ApiKey::NewSecret();
  Result<ApiKey> key = ApiKey::Create(options.name, secret, limits);
  if (!key) return Propagate(key);
  if (Status status = AppendToKeyFile(options.file, *key); !status) return Propagate(status);
  fmt::print("{}\n", secret);
  fmt::print(stderr,
             "This is the key of {}, shown this once; {} has its digest.\n"
             "A server that has the file (--api-key-file) takes it after a SIGHUP.\n",
             options.name, options.file);
  return 0;
}

}  // namespace

void AddKeyCommands(Commands& commands) {
  auto options = std::make_shared<KeyOptions>();
  CLI::App* group = commands.AddGroup("key", "Make API keys for `quern serve`");
  CLI::App* command = commands.Add(
      "new", "Make a key, print it, and add its digest to a file",
      [options] { return NewKey(*options); }, group);
  command->add_option("NAME", options->name, "Whose key it is, for logs and limits")->required();
  command->add_option("-f,--file", options->file, "File of keys; it is made if there is none")
      ->type_name("FILE")
      ->capture_default_str();
  command->add_option("--rate", options->rate,
                      "Most requests of the key, such as 60/min, 10/s, 500/h or 9000/day");
  command->add_option("--concurrent", options->limits.concurrent, "Most requests at once")
      ->check(CLI::PositiveNumber);
  command
      ->add_option("--tokens", options->limits.tokens_per_day,
                   "Most tokens a day, of prompts and answers")
      ->check(CLI::PositiveNumber);
}

}  // namespace quern
