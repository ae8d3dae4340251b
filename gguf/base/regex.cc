#include "gguf/base/regex.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <array>

#include "gguf/base/printable.h"

namespace quern {
namespace {

struct FreePcre2 {
  void operator()(pcre2_code* code) const { pcre2_code_free(code); }
  void operator()(pcre2_match_context* context) const { pcre2_match_context_free(context); }
  void operator()(pcre2_match_data* data) const { pcre2_match_data_free(data); }
};
template <typename T>
using Pcre2Ptr = std::unique_ptr<T, FreePcre2>;

PCRE2_SPTR Units(std::string_view text) { return reinterpret_cast<PCRE2_SPTR>(text.data()); }

Pcre2Ptr<pcre2_match_context> ContextOf(uint32_t most_steps) {
  Pcre2Ptr<pcre2_match_context> context(pcre2_match_context_create(nullptr));
  pcre2_set_match_limit(context.get(), most_steps);
  pcre2_set_depth_limit(context.get(), most_steps);
  return context;
}

struct Work {
  PCRE2_SIZE at = 0;
  int64_t left = 0;
};

/// PCRE2 calls it before each item of the pattern that it tries.
int CountWork(pcre2_callout_block* step, void* data) {
  auto* work = static_cast<Work*>(data);
  const PCRE2_SIZE at = step->current_position;
  work->left -= 1 + static_cast<int64_t>(at > work->at ? at - work->at : work->at - at);
  work->at = at;
  return work->left > 0 ? 0 : PCRE2_ERROR_CALLOUT;
}

}  // namespace

struct Regex::Code {
  Pcre2Ptr<pcre2_code> code;
  /// PCRE2's own limits are some millions of steps. Never written to again, so that all may share
  /// it.
  Pcre2Ptr<pcre2_match_context> no_limits = ContextOf(RegexLimits::kNone);
};

Result<Regex> Regex::Compile(std::string_view source, const RegexOptions& options) {
  uint32_t flags = 0;
  if (options.is_utf8) flags |= PCRE2_UTF | PCRE2_UCP | PCRE2_MATCH_INVALID_UTF;
  if (options.ignores_case) flags |= PCRE2_CASELESS;
  if (options.dollar_is_end) flags |= PCRE2_DOLLAR_ENDONLY;
  if (options.counts_work) flags |= PCRE2_AUTO_CALLOUT;
  int error = 0;
  PCRE2_SIZE error_at = 0;
  auto made = std::make_shared<Code>();
  made->code.reset(pcre2_compile(Units(source), source.size(), flags, &error, &error_at, nullptr));
  if (made->code == nullptr) {
    std::array<PCRE2_UCHAR, 256> message{};
    pcre2_get_error_message(error, message.data(), message.size());
    return Fail(ErrorCode::kInvalidArgument, "{} is no pattern, at its byte {}: {}", Quoted(source),
                error_at, reinterpret_cast<const char*>(message.data()));
  }
  // Where PCRE2 has no JIT, its interpreter matches the same.
  pcre2_jit_compile(made->code.get(), PCRE2_JIT_COMPLETE);
  return Regex(std::move(made));
}

struct RegexMatcher::Scratch {
  RegexLimits limits;
  Pcre2Ptr<pcre2_match_data> data{pcre2_match_data_create(1, nullptr)};
  Pcre2Ptr<pcre2_match_context> context{};  ///< null: without limits
  Work work{};
};

RegexMatcher::RegexMatcher(const RegexLimits& limits)
    : scratch_(std::make_unique<Scratch>(Scratch{.limits = limits})) {
  if (limits.steps == RegexLimits::kNone && limits.work == 0) return;
  scratch_->context = ContextOf(limits.steps);
  if (limits.work > 0) {
    pcre2_set_callout(scratch_->context.get(), CountWork, &scratch_->work);
  }
}

RegexMatcher::~RegexMatcher() = default;

RegexMatcher::Outcome RegexMatcher::Find(const Regex& regex, std::string_view text) {
  Scratch& scratch = *scratch_;
  pcre2_match_context* const context =
      (scratch.context != nullptr ? scratch.context : regex.code_->no_limits).get();
  const auto match = [&](uint32_t options) {
    scratch.work = {.left = scratch.limits.work};
    return pcre2_match(regex.code_->code.get(), Units(text), text.size(), 0, options,
                       scratch.data.get(), context);
  };
  int rc = match(0);
  // The JIT's stack has an end; the interpreter takes from the heap.
  const bool failed = rc < 0 && rc != PCRE2_ERROR_NOMATCH;
  if (failed && scratch.limits.steps == RegexLimits::kNone) rc = match(PCRE2_NO_JIT);
  if (rc == PCRE2_ERROR_NOMATCH) return Outcome::kNotFound;
  return rc < 0 ? Outcome::kGivenUp : Outcome::kFound;
}

size_t RegexMatcher::begin() const { return pcre2_get_ovector_pointer(scratch_->data.get())[0]; }
size_t RegexMatcher::end() const { return pcre2_get_ovector_pointer(scratch_->data.get())[1]; }

}  // namespace quern
