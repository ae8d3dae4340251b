#include "tools/hub/hub_path.h"

#include <algorithm>

#include "gguf/base/printable.h"

namespace quern {
namespace {

// File systems take 255 bytes; ".partial.json.new" comes behind.
constexpr size_t kMostPartBytes = 230;
constexpr size_t kMostPathBytes = 1024;

bool IsPlain(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
         c == '_' || c == '.';
}

bool IsPlainName(std::string_view name) {
  return !name.empty() && name.size() <= kMostPartBytes && name.front() != '.' &&
         name.front() != '-' && std::all_of(name.begin(), name.end(), IsPlain);
}

/// What is wrong with one part of a path; empty: nothing.
std::string_view FaultOfPart(std::string_view part) {
  if (part.empty()) return "has an empty part";
  if (part.front() == '.') return "has a part that begins with a dot";
  if (part.size() > kMostPartBytes) return "has a part that is too long";
  if (Printable(part, part.size()) != part) return "has characters that no file name should have";
  return {};
}

}  // namespace

Result<HubName> ParseHubName(std::string_view text) {
  const size_t slash = text.find('/');
  const size_t colon = text.find(':');
  HubName name;
  if (slash != std::string_view::npos) {
    name.org = text.substr(0, slash);
    name.repo = text.substr(slash + 1, colon == std::string_view::npos ? colon : colon - slash - 1);
    if (colon != std::string_view::npos) name.quant = text.substr(colon + 1);
  }
  const bool has_quant = colon == std::string_view::npos || IsPlainName(name.quant);
  if (!IsPlainName(name.org) || !IsPlainName(name.repo) || !has_quant ||
      (colon != std::string_view::npos && colon < slash)) {
    return Fail(ErrorCode::kInvalidArgument,
                "{} names no model of a hub, expected ORG/REPO[:QUANT]", Quoted(text));
  }
  return name;
}

Status CheckHubPath(std::string_view path) {
  std::string_view fault = path.size() > kMostPathBytes ? "is too long" : "";
  for (size_t begin = 0; fault.empty() && begin <= path.size();) {
    const size_t end = std::min(path.find('/', begin), path.size());
    fault = FaultOfPart(path.substr(begin, end - begin));
    begin = end + 1;
  }
  if (fault.empty()) return {};
  return Fail(ErrorCode::kInvalidArgument, "the hub's file name {} {}", Quoted(path), fault);
}

Result<std::string> RevisionFolder(std::string_view revision) {
  std::string folder(revision);
  const bool is_plain =
      std::all_of(folder.begin(), folder.end(), [](char c) { return IsPlain(c) || c == '/'; });
  if (!is_plain || !CheckHubPath(revision)) {
    return Fail(ErrorCode::kInvalidArgument, "{} is no revision, expected a branch, tag or commit",
                Quoted(revision));
  }
  std::replace(folder.begin(), folder.end(), '/', '+');  // which no revision has
  return folder;
}

}  // namespace quern
