// `quern quantize`: writes a model with other tensor types.
#include <fmt/format.h>

#include <chrono>
#include <memory>
#include <string>

#include "gguf/printable.h"
#include "runtime/cpu_limits.h"
#include "runtime/quantizer.h"
#include "tools/commands.h"
#include "tools/progress_bar.h"

namespace quern {
namespace {

struct QuantizeArguments {
  std::string input;
  std::string output;
  std::string type;
  bool pure = false;
  int threads = 0;
};

std::string RecipeNames() {
  std::string names;
  for (const QuantizationRecipe& recipe : QuantizationRecipes()) {
    names += fmt::format("{}{}", names.empty() ? "" : ", ", recipe.name);
  }
  return names;
}

double BitsPerWeight(uint64_t bytes, uint64_t n_weights) {
  return n_weights == 0 ? 0 : 8.0 * static_cast<double>(bytes) / static_cast<double>(n_weights);
}

void PrintSummary(const QuantizeSummary& summary, double seconds) {
  constexpr double kMegabyte = 1e6;
  fmt::print("{:.1f} MB ({:.2f} bits/weight) -> {:.1f} MB ({:.2f} bits/weight) in {:.1f} s\n",
             static_cast<double>(summary.source_bytes) / kMegabyte,
             BitsPerWeight(summary.source_bytes, summary.n_weights),
             static_cast<double>(summary.result_bytes) / kMegabyte,
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
  PrintSummary(*summary, elapsed.count());
  return 0;
}

}  // namespace

void AddQuantizeCommand(Commands& commands) {
  auto arguments = std::make_shared<QuantizeArguments>();
  CLI::App* command = commands.Add("quantize", "Write a model with other tensor types",
                                   [arguments] { return Quantize(*arguments); });
  command->add_option("IN", arguments->input, "GGUF file to read (any type that runs)")->required();
  command->add_option("OUT", arguments->output, "GGUF file to write; replaced if it exists")
      ->required();
  command->add_option("TYPE", arguments->type, RecipeNames())->required();
  command->add_flag("--pure", arguments->pure, "Every matrix in TYPE, none finer");
  command->add_option("-t,--threads", arguments->threads, "Threads (default: those available)")
      ->check(CLI::PositiveNumber);
}

}  // namespace quern
