// Finds a model's section in a server's configuration file, [models.NAME], and sets its numbers.
#pragma once

#include <cstddef>
#include <string>

#include "gguf/base/result.h"

namespace quern {

/// What a section may know the model by.
struct ConfiguredModel {
  std::string path;     ///< its file
  std::string hub;      ///< ORG/REPO[:QUANT] for a model of a hub; else empty
  std::string section;  ///< NAME of its section; empty: found by path or hub, else made of them
};

struct SectionChange {
  std::string text;     ///< of the whole file
  std::string section;  ///< NAME
  bool is_new;          ///< whether the section was added
};

/// `text`, the configuration in the file `config_path`, with `threads` and `batch_size` set in the
/// model's section. All else stays as it is, byte for byte. Errors: kInvalidArgument for what is no
/// such configuration, with line and column, and for a model in several sections; kUnsupported
/// where a section's form takes no more keys.
Result<SectionChange> SetModelNumbers(std::string text, const std::string& config_path,
                                      const ConfiguredModel& model, size_t threads,
                                      size_t batch_size);

}  // namespace quern
