#include "tools/options/load_model.h"

#include <fmt/format.h>

#include <cstdio>
#include <utility>

#include "tools/terminal/progress_bar.h"

namespace quern {

Result<std::shared_ptr<const Model>> LoadModel(const GgufFile& file, LoadOptions options) {
  ProgressBar bar;
  options.progress = [&bar, also = std::move(options.progress)](double share) {
    bar.Show(share, "loading");
    if (also) also(share);
  };
  return Model::Load(file, options);
}

void WarnOfLongContext(size_t n_ctx_train, size_t n_ctx) {
  if (n_ctx_train == 0 || n_ctx <= n_ctx_train) return;
  fmt::print(stderr, "warning: context of {} tokens, but the model was trained for {}\n", n_ctx,
             n_ctx_train);
}

}  // namespace quern
