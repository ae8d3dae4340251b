// libFuzzer target of what operators write: any text is taken or gives an error of one printable
// line, and edits of a configuration change nothing else. The input's first byte is the kind of
// text, the rest the text. By hand: settings_fuzz FOLDER, FOLDER keeping the inputs that reached
// new code.
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "gguf/base/printable.h"
#include "server/access/api_key.h"
#include "server/access/cors.h"
#include "server/access/request_signature.h"
#include "server/access/screening.h"
#include "server/access/usage_file.h"
#include "tools/serve/models_file.h"
#include "tools/toml/toml_edit.h"

extern "C" size_t LLVMFuzzerMutate(uint8_t* data, size_t size, size_t max_size);

namespace quern {
namespace {

/// Of each kind, with every field, for mutation to start from.
constexpr std::array<std::string_view, 6> kSeeds = {
    R"(0default = "auto" # é
[models.zebra]
path = "z.gguf"
aliases = ["a", 'b']
ctx_size = 0x200
cache-type-k = "q8_0"
temp = 0.5
load = """mm\
  ap"""
[models.ape]
hub = "org/repo"
threads = 2
logit-bias = ["5-1"]
preload = true
[routers.auto]
default = "zebra"
fallback = ["ape"]
[[routers.auto.rules]]
model = "ape"
min_prompt_bytes = 10
keys = ["alice"]
images = false
pattern = 'a+'
)",
    R"(1# rules
name block (?:ignore|forget) +all
ssn log \b\d{3}-\d{2}-\d{4}\b
)",
    "2alice hmac-sha256:00112233445566778899aabbccddeeff:"
    "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff rate=60/min concurrent=4 "
    "tokens=100000 "
    "signing=00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff signed",
    "31764086400.250",
    "4# used\n2026-11-26 alice 1234\n",
    "5https://a.example:8080",
};

void Require(bool condition) {
  if (!condition) std::abort();
}

/// Nothing to escape but the backslashes of what was escaped.
void RequireLine(const Error& error) {
  Require(!error.message.empty());
  Require(error.message.size() < 1000);
  std::string message = error.message;
  std::erase(message, '\\');
  Require(Printable(message, message.size()) == message);
}

/// Requires that `after` is `before` but for one stretch, which was empty or a number.
void RequireOneChange(std::string_view before, std::string_view after) {
  const auto begins = std::mismatch(before.begin(), before.end(), after.begin(), after.end());
  before.remove_prefix(begins.first - before.begin());
  after.remove_prefix(begins.second - after.begin());
  const auto ends = std::mismatch(before.rbegin(), before.rend(), after.rbegin(), after.rend());
  before.remove_suffix(ends.first - before.rbegin());
  Require(before.find_first_not_of("0123456789abcdefABCDEFxo_+-") == std::string_view::npos);
}

void TestSetInteger(const TomlDocument& document, const TomlPath& path) {
  TomlDocument changed = document;
  if (const Status status = changed.SetInteger(path, "threads", 12); !status) {
    RequireLine(status.error());
    Require(changed.text() == document.text());
    return;
  }
  RequireOneChange(document.text(), changed.text());
  toml::table expected = document.root();
  toml::table* table = &expected;
  for (const std::string& name : path) table = table->get_as<toml::table>(name);
  table->insert_or_assign("threads", 12);
  const Result<TomlDocument> again = TomlDocument::Parse(changed.text(), "quern.toml");
  Require(again && again->root() == expected);
}

void TestAddSection(const TomlDocument& document) {
  const TomlPath path = {"models", "b.1"};
  TomlDocument changed = document;
  if (const Status status = changed.AddSection(path, {"threads = 12"}); !status) {
    RequireLine(status.error());
    Require(changed.text() == document.text());
    return;
  }
  Require(changed.text().starts_with(document.text()));
  const Result<TomlDocument> again = TomlDocument::Parse(changed.text(), "quern.toml");
  Require(again && again->Find(path)->get("threads")->value<int64_t>() == 12);
}

void TestEdits(std::string_view text) {
  const Result<TomlDocument> document = TomlDocument::Parse(std::string(text), "quern.toml");
  if (!document) return RequireLine(document.error());
  TestAddSection(*document);
  const toml::table* models = document->Find({"models"});
  if (models == nullptr) return;
  for (const auto& [name, section] : *models) {
    if (section.is_table()) TestSetInteger(*document, {"models", std::string(name.str())});
  }
}

void TestModels(std::string_view text) {
  const Result<ModelList> list = ParseModels(text, "quern.toml", {});
  if (!list) return RequireLine(list.error());
  Require(!list->models.empty());
}

/// The path of a file that has this text, until the next call.
std::string FileOf(std::string_view text) {
  static const int fd = memfd_create("text", 0);
  Require(ftruncate(fd, 0) == 0);
  Require(pwrite(fd, text.data(), text.size(), 0) == static_cast<ssize_t>(text.size()));
  return "/proc/self/fd/" + std::to_string(fd);
}

void TestUsage(std::string_view text) {
  const Result<std::vector<DayTokens>> counted = ReadUsageFile(FileOf(text));
  if (!counted) return RequireLine(counted.error());
  Quotas quotas(std::nullopt);
  quotas.Restore(*counted);
}

void TestScreening(std::string_view text) {
  const Result<Screening> rules = Screening::Read(FileOf(text));
  if (!rules) return RequireLine(rules.error());
  rules->Find(text);
}

void TestKey(std::string_view line) {
  const Result<ApiKey> key = ApiKey::Parse(line);
  if (!key) return RequireLine(key.error());
  const Result<ApiKey> again = ApiKey::Parse(key->Line());
  Require(again && again->Line() == key->Line());
}

void TestOrigin(std::string_view text) {
  const Result<Cors> cors = Cors::Create({{std::string(text)}, "127.0.0.1"});
  if (!cors) return RequireLine(cors.error());
  Require(cors->Decide("OPTIONS", text, "localhost").is_preflight);
  cors->Decide("POST", "https://b.example", text);
}

void TestText(uint8_t kind, std::string_view text) {
  switch (kind % kSeeds.size()) {
    case 0:
      TestModels(text);
      TestEdits(text);
      break;
    case 1:
      TestScreening(text);
      break;
    case 2:
      TestKey(text);
      break;
    case 3:
      ParseSignatureTime(text);
      break;
    case 4:
      TestUsage(text);
      break;
    default:
      TestOrigin(text);
  }
}

}  // namespace
}  // namespace quern

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  quern::TestText(data[0] - '0', {reinterpret_cast<const char*>(data) + 1, size - 1});
  return 0;
}

extern "C" size_t LLVMFuzzerCustomMutator(uint8_t* data, size_t size, size_t max_size,
                                          unsigned int seed) {
  constexpr size_t kLeastBytes = 2;
  if (size < kLeastBytes) {
    const std::string_view start = quern::kSeeds[seed % quern::kSeeds.size()];
    size = std::min(start.size(), max_size);
    std::memcpy(data, start.data(), size);
  }
  return LLVMFuzzerMutate(data, size, max_size);
}
