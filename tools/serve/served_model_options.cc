#include "tools/serve/served_model_options.h"

#include <fmt/format.h>

#include <ctime>
#include <filesystem>
#include <utility>

#include "runtime/engine/sampling_defaults.h"
#include "tools/options/load_model.h"

namespace quern {
namespace {

/// What holds for requests that say nothing themselves.
Result<AnswerDefaults> DefaultsOf(const ServedModelOptions& options, const GgufFile& file) {
  AnswerDefaults defaults;
  Result<SamplingParams> recommended = RecommendedSampling(file);
  if (!recommended) return Propagate(recommended);
  defaults.native = *std::move(recommended);
  for (SamplingParams* params : {&defaults.native, &defaults.openai}) {
    Result<SamplingParams> over = options.sampling.Over(*params);
    if (!over) return Propagate(over);
    *params = *std::move(over);
  }
  defaults.seed = options.sampling.seed();
  if (options.n_predict >= 0) defaults.max_tokens = static_cast<size_t>(options.n_predict);
  return defaults;
}

ModelInfo InfoOf(const ServedModelOptions& options, const GgufFile& file, const HParams& hparams,
                 const EngineOptions& engine) {
  ModelInfo info{.id = options.id,
                 .path = file.name(),
                 .created = std::time(nullptr),
                 .n_ctx = engine.n_ctx,
                 .n_slots = engine.max_running,
                 .n_ctx_train = hparams.n_ctx_train,
                 .n_vocab = hparams.n_vocab,
                 .n_embd = hparams.n_embd};
  if (info.id.empty()) info.id = hparams.name;
  if (info.id.empty()) info.id = std::filesystem::path(file.name()).filename().string();
  for (const TensorInfo& tensor : file.tensors()) {
    info.n_params += tensor.n_elements();
    info.weight_bytes += tensor.data.size();
  }
  return info;
}

ModelRecipe RecipeOf(const ServedModelOptions& options, const ModelInfo& info,
                     const EngineOptions& engine, std::optional<std::string> chat_template) {
  ModelRecipe recipe{.path = info.path,
                     .weight_bytes = info.weight_bytes,
                     .load_mode = options.load_mode,
                     .chat_template = std::move(chat_template),
                     .engine = engine,
                     .max_queue = options.max_queue};
  std::error_code error;
  const auto modified = std::filesystem::last_write_time(info.path, error);
  if (!error) recipe.modified = modified;
  return recipe;
}

/// Loads the model that `argument` names.
Result<std::unique_ptr<InferenceThread>> LoadServed(const ModelArgument& argument,
                                                    const std::string& id,
                                                    const ModelRecipe& recipe,
                                                    const LoadContext& context) {
  Result<GgufFile> opened = argument.Open();
  if (!opened) return Propagate(opened);
  LoadOptions load{.mode = recipe.load_mode,
                   .n_threads = recipe.engine.n_threads,
                   .chat_template = recipe.chat_template};
  if (context.on_progress) {
    load.progress = [&](double share) { context.on_progress(opened->name(), share); };
    load.progress(0);
  }
  Result<std::shared_ptr<const Model>> model =
      context.show_progress ? LoadModel(*opened, std::move(load)) : Model::Load(*opened, load);
  if (!model) return Propagate(model);
  Result<std::unique_ptr<Engine>> made = Engine::Create(*model, recipe.engine);
  if (!made) return Propagate(made);
  InferenceListener listener;
  listener.on_inter_token = [metrics = context.metrics](double seconds) {
    metrics->ObserveInterToken(seconds);
  };
  listener.on_failed_step = [log = context.log, id](std::string_view what, size_t n_cancelled) {
    if (log == nullptr) return;
    log->Write(LogLevel::kError, "a step failed, its answers are cancelled",
               {{"model", id}, {"error", what}, {"answers", n_cancelled}});
  };
  return std::make_unique<InferenceThread>(*std::move(made), recipe.max_queue, std::move(listener),
                                           context.budget);
}

}  // namespace

ServedModelOptions::ServedModelOptions() {
  engine.max_running = 16;
  // A running answer's next token takes at most about twice as long while prompts are read, and a
  // request that is cancelled or comes is noticed within about a second.
  engine.max_stretch = 2;
  engine.max_step_seconds = 1;
}

void ServedModelOptions::AddTo(CLI::App* command) {
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
  command
      ->add_option("--max-queue", max_queue,
                   "Most requests that wait; more are told to come back later")
      ->check(CLI::Range(size_t{0}, size_t{4096}))
      ->capture_default_str();
}

namespace {

Result<PlannedModel> Plan(const ServedModelOptions& options, uint64_t available,
                          const LoadContext& context) {
  Result<GgufFile> file = options.model.Open();
  if (!file) return Propagate(file);
  Result<HParams> hparams = HParams::Load(*file);
  if (!hparams) return Propagate(hparams);
  Result<AnswerDefaults> defaults = DefaultsOf(options, *file);
  if (!defaults) return Propagate(defaults);
  Result<std::optional<std::string>> chat_template = options.chat_template.Source();
  if (!chat_template) return Propagate(chat_template);

  PlannedModel planned;
  EngineOptions& engine = planned.engine;
  engine = options.engine;
  engine.kv_types = options.cache_type.types();
  engine.n_ctx = ContextFor(*hparams, options.n_ctx);
  Result<MemoryPlan> plan = PlanMemory(*file, *hparams,
                                       {.n_ctx = engine.n_ctx,
                                        .n_parallel = engine.max_running,
                                        .kv_tokens = engine.kv_tokens,
                                        .kv_types = engine.kv_types,
                                        .batch_rows = engine.chunk_tokens,
                                        .kv_share = context.kv_share},
                                       available);
  if (!plan) return Propagate(plan);
  planned.plan = *plan;
  engine.kv_tokens = plan->kv_tokens;
  planned.is_packed = options.load_mode == LoadMode::kPack;

  ServedModel& served = planned.served;
  served.info = InfoOf(options, *file, *hparams, engine);
  served.aliases = options.aliases;
  served.memory_bytes = plan->estimate.total();
  served.preload = options.preload;
  served.defaults = *std::move(defaults);
  served.recipe = RecipeOf(options, served.info, engine, *std::move(chat_template));
  served.load = [argument = options.model, id = served.info.id,
                 context](const ModelRecipe& recipe) {
    return LoadServed(argument, id, recipe, context);
  };
  return planned;
}

}  // namespace

Result<PlannedModel> PlanModel(const ServedModelOptions& options, uint64_t available,
                               const LoadContext& context) {
  Result<PlannedModel> planned = Plan(options, available, context);
  if (planned || options.place.empty()) return planned;
  return Fail(planned.error().code, "{}: the model {}: {}", options.place, options.id,
              planned.error().message);
}

}  // namespace quern
