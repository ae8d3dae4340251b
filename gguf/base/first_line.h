// The first line of a file, as most of what the system tells in files has but one.
#pragma once

#include <filesystem>
#include <fstream>
#include <string>

namespace quern {

/// Without its end; empty where the file cannot be read.
inline std::string FirstLine(const std::filesystem::path& path) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  return line;
}

}  // namespace quern
