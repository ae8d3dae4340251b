// What `quern inspect` finds in a GGUF file, and its two forms: for people and for programs.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "gguf/base/result.h"
#include "gguf/gguf_file.h"
#include "kernels/attention.h"
#include "runtime/model/hparams.h"
#include "runtime/model/memory_estimate.h"

namespace quern {

/// The tensors of one type, or of all.
struct TypeShare {
  GgmlType type;
  uint64_t n_tensors = 0;
  uint64_t n_elements = 0;
  uint64_t n_bytes = 0;
};

struct MemoryNeed {
  uint64_t n_ctx;
  KvTypes kv_types;
  HParams hparams;
  MemoryEstimate estimate;
};

struct Inspection {
  std::vector<TypeShare> types;  ///< the largest first
  TypeShare total;               ///< of all types; its own type means nothing
  Result<MemoryNeed> memory;     ///< an error where Quern cannot run the model, and why
};

/// With the memory for the context that ContextFor gives for `n_ctx`.
Inspection Inspect(const GgufFile& file, std::optional<size_t> n_ctx, KvTypes kv_types);

struct InspectStyle {
  bool full = false;  ///< whole arrays and strings
  bool bold = false;  ///< headings in bold, for a terminal
};

std::string InspectionText(const GgufFile& file, const Inspection& inspection, InspectStyle style);

/// Always valid UTF-8: bytes of the file that are not are replaced by U+FFFD.
std::string InspectionJson(const GgufFile& file, const Inspection& inspection, bool full);

}  // namespace quern
