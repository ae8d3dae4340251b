#include "server/access/usage_file.h"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <optional>
#include <string_view>
#include <utility>

#include "gguf/base/line_file.h"
#include "gguf/base/operator_name.h"
#include "gguf/base/parse_number.h"
#include "gguf/base/printable.h"
#include "gguf/base/write_text.h"

namespace quern {
namespace {

/// The most that a process that is killed forgets of.
constexpr std::chrono::seconds kInterval{10};

constexpr std::string_view kHeader =
    "# Tokens that keys have used today (UTC), kept by quern serve. DAY NAME TOKENS\n";

/// As 2026-11-26.
std::optional<std::chrono::sys_days> ParseDay(std::string_view text) {
  if (text.size() != 10 || text[4] != '-' || text[7] != '-') return std::nullopt;
  const auto year = ParseNumber<unsigned>(text.substr(0, 4));
  const auto month = ParseNumber<unsigned>(text.substr(5, 2));
  const auto day = ParseNumber<unsigned>(text.substr(8, 2));
  if (!year || !month || !day) return std::nullopt;
  const std::chrono::year_month_day date{std::chrono::year(static_cast<int>(*year)),
                                         std::chrono::month(*month), std::chrono::day(*day)};
  if (!date.ok()) return std::nullopt;
  return std::chrono::sys_days(date);
}

Result<DayTokens> ParseUsage(std::string_view line) {
  const std::vector<std::string_view> words = WordsOf(line);
  if (words.size() == 3) {
    const std::optional<std::chrono::sys_days> day = ParseDay(words[0]);
    const std::optional<uint64_t> tokens = ParseNumber<uint64_t>(words[2]);
    if (day && IsOperatorName(words[1]) && tokens) {
      return DayTokens{*day, std::string(words[1]), *tokens};
    }
  }
  return Fail(ErrorCode::kInvalidArgument,
              "{} is no usage of a key, expected DAY NAME TOKENS as in 2026-11-26 alice 1234",
              Quoted(line));
}

std::string Text(const std::vector<DayTokens>& counted) {
  std::string text(kHeader);
  for (const DayTokens& spent : counted) {
    if (!IsOperatorName(spent.caller)) continue;  // an address, where no keys are asked for
    text += fmt::format("{:%Y-%m-%d} {} {}\n", std::chrono::sys_seconds(spent.day), spent.caller,
                        spent.tokens);
  }
  return text;
}

}  // namespace

Result<std::vector<DayTokens>> ReadUsageFile(const std::string& path) {
  std::vector<DayTokens> counted;
  std::error_code error;
  if (!std::filesystem::exists(path, error) && !error) return counted;
  const auto take = [&counted](std::string_view line, size_t /*number*/) -> Status {
    Result<DayTokens> spent = ParseUsage(line);
    if (!spent) return Propagate(spent);
    const bool taken = std::any_of(counted.begin(), counted.end(), [&](const DayTokens& other) {
      return other.day == spent->day && other.caller == spent->caller;
    });
    if (taken) {
      return Fail(ErrorCode::kInvalidArgument, "there is another line for {} on that day",
                  Quoted(spent->caller));
    }
    counted.push_back(*std::move(spent));
    return {};
  };
  if (Status status = ReadLines(path, "usage file", take); !status) return Propagate(status);
  return counted;
}

UsageFile::UsageFile(std::string path, Quotas* quotas, RequestLog* log)
    : path_(std::move(path)), quotas_(quotas), log_(log) {}

Result<std::unique_ptr<UsageFile>> UsageFile::Open(std::string path, Quotas* quotas,
                                                   RequestLog* log) {
  std::unique_ptr<UsageFile> file(new UsageFile(std::move(path), quotas, log));
  if (Status status = file->Save(); !status) return Propagate(status);
  file->saving_.emplace(kInterval, IntervalThread::First::kAfterInterval,
                        [raw = file.get()] { raw->SaveOrTell(); });
  return file;
}

UsageFile::~UsageFile() {
  if (!saving_) return;
  saving_.reset();
  SaveOrTell();
}

Status UsageFile::Save() {
  std::string text = Text(quotas_->TokensOfDay());
  if (text == saved_) return {};
  if (Status status = WriteText(path_, text); !status) return status;
  saved_ = std::move(text);
  return {};
}

void UsageFile::SaveOrTell() {
  const Status status = Save();
  if (!status && !is_told_ && log_ != nullptr) {
    log_->Write(LogLevel::kWarning, "usage not written", {{"error", status.error().message}});
  }
  is_told_ = !status;
}

}  // namespace quern
