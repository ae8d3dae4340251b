// Which files of a repository are the model that was asked for.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "gguf/base/result.h"

namespace quern {

/// A file as a hub lists it.
struct HubFile {
  std::string path;
  uint64_t size = 0;        ///< 0: unknown
  std::string sha256 = {};  ///< empty: unknown
};

/// What is taken where no quantization is asked for.
inline constexpr std::string_view kDefaultQuant = "Q4_K_M";

/// The quantization that a file's name tells, in capitals: "Q4_K_M", "UD-Q4_K_XL", "BF16". Empty
/// when it tells none.
std::string QuantOf(std::string_view path);

/// Whether the name tells `quant`, whatever its case; an empty one is told by all.
bool HasQuant(std::string_view path, std::string_view quant);

/// All files of the model in order: the one GGUF file, or a whole split set. `file` is the path of
/// one of them, or empty; without it `quant` decides, whatever its case, and without that
/// kDefaultQuant, else the only model that there is. Projectors and importance matrices are chosen
/// by `file` alone. Errors: kNotFound, and kInvalidArgument where several fit, with what there is;
/// those of CheckHubPath.
Result<std::vector<HubFile>> ChooseModel(const std::vector<HubFile>& files, std::string_view quant,
                                         std::string_view file);

}  // namespace quern
