// `quern quantize`: writes a model with other tensor types.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <chrono>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "gguf/base/format_number.h"
#include "gguf/base/printable.h"
#include "runtime/machine/cpu_limits.h"
#include "tools/cli/commands.h"
#include "tools/options/shared_options.h"
#include "tools/quantize/quantizer.h"
#include "tools/terminal/progress_bar.h"

namespace quern {
namespace {

struct QuantizeArguments {
  std::string input;
  std::string output;
  std::string type;
  bool pure = false;
  bool json = false;
  int threads = 0;
};

std::vector<std::string> RecipeNames() {
  std::vector<std::string> names;
  for (const QuantizationRecipe& recipe : QuantizationRecipes()) names.emplace_back(recipe.name);
  return names;
}

void PrintSummary(const QuantizeSummary& summary, double seconds) {
  fmt::print("{} ({:.2f} bits/weight) -> {} ({:.2f} bits/weight) in {:.1f} s\n",
             FormatBytes(summary.source_bytes),
             BitsPerWeight(summary.source_bytes, summary.n_weights),
             FormatBytes(summary.result_bytes),
             BitsPerWeight(summary.result_bytes, summary.n_weights), seconds);
  if (summary.n_requantized > 0) {
    fmt::print("note: {} tensors were quantized already; their errors add up\n",
               summary.n_requantized);
  }
  if (summary.n_fallback > 0) {
    fmt::print("note: {} tensors have rows that do not fill whole blocks and got a nearby type\n",
               summary.n_fallback);
  }
}

void PrintJson(const QuantizeSummary& summary, double seconds) {
  const nlohmann::ordered_json json = {
      {"parameters", summary.n_weights},
      {"source_bytes", summary.source_bytes},
      {"source_bits_per_weight", BitsPerWeight(summary.source_bytes, summary.n_weights)},
      {"result_bytes", summary.result_bytes},
      {"result_bits_per_weight", BitsPerWeight(summary.result_bytes, summary.n_weights)},
      {"requantized_tensors", summary.n_requantized},
      {"fallback_tensors", summary.n_fallback},
      {"seconds", seconds}};
  fmt::print("{}\n", json.dump(2));
}

Result<int> Quantize(const QuantizeArguments& arguments) {
  QuantizeOptions options;
  options.recipe = FindQuantizationRecipe(arguments.type);
  if (options.recipe == nullptr) {
    return Fail(ErrorCode::kInvalidArgument, "no type '{}'; there are {}", arguments.type,
                RecipeNames());
  }
  options.pure = arguments.pure;
  options.n_threads = arguments.threads > 0 ? arguments.threads : AvailableThreads();
  Result<GgufFile> source = GgufFile::Open(arguments.input);
  if (!source) return Propagate(source);

  const auto start = std::chrono::steady_clock::now();
  Result<QuantizeSummary> summary = [&] {
    ProgressBar bar;
    options.progress = [&bar](const QuantizeProgress& progress) {
      bar.Show(
          static_cast<double>(progress.weights_done) / static_cast<double>(progress.weights_total),
          fmt::format("{} {} -> {}", Printable(progress.tensor), NameOf(progress.from),
                      NameOf(progress.to)));
    };
    return QuantizeFile(*source, arguments.output, options);
  }();
  if (!summary) return Propagate(summary);
  const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - start;
  (arguments.json ? PrintJson : PrintSummary)(*summary, elapsed.count());
  return 0;
}

}  // namespace

void AddQuantizeCommand(Commands& commands) {
  auto arguments = std::make_shared<QuantizeArguments>();
  CLI::App* command = commands.Add("quantize", "Write a model with other tensor types",
                                   [arguments] { return Quantize(*arguments); });
  command->add_option("IN", arguments->input, "GGUF file to read (any type that runs)")
      ->type_name("MODEL")
      ->required();
  command->add_option("OUT", arguments->output, "GGUF file to write; replaced if it exists")
      ->type_name("MODEL")
      ->required();
  const std::vector<std::string> recipes = RecipeNames();
  command
      ->add_option("TYPE", arguments->type,
                   fmt::format("{} (Q4_K is Q4_K_S, Q5_K is Q5_K_S)", fmt::join(recipes, ", ")))
      // For completion alone: what else TYPE may be, and how it is refused, the recipes know.
      ->check(CLI::Validator(fmt::format("{{{}}}", fmt::join(recipes, ","))))
      ->required();
  command->add_flag("--pure", arguments->pure, "Every matrix in TYPE, none finer");
  AddThreadsOption(command, &arguments->threads);
  command->add_flag("--json", arguments->json, "Print the summary as JSON");
}

}  // namespace quern
