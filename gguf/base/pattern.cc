#include "gguf/base/pattern.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <array>
#include <utility>

#include "gguf/base/printable.h"

namespace quern {
namespace {

/// Steps from one place of the text, of some nanoseconds each.
constexpr uint32_t kMostSteps = 10'000;
/// Steps and bytes passed over in one text. Work is counted rather than timed, so that a busy
/// machine finds the same.
constexpr int64_t kMostWork = 4'000'000;

struct Work {
  PCRE2_SIZE at = 0;
  int64_t left = kMostWork;
};

/// PCRE2 calls it before each item of the pattern that it tries.
int CountWork(pcre2_callout_block* step, void* data) {
  auto* work = static_cast<Work*>(data);
  const PCRE2_SIZE at = step->current_position;
  work->left -= 1 + static_cast<int64_t>(at > work->at ? at - work->at : work->at - at);
  work->at = at;
  return work->left > 0 ? 0 : PCRE2_ERROR_CALLOUT;
}

struct FreePcre2 {
  void operator()(pcre2_code* code) const { pcre2_code_free(code); }
  void operator()(pcre2_match_context* context) const { pcre2_match_context_free(context); }
  void operator()(pcre2_match_data* data) const { pcre2_match_data_free(data); }
};
template <typename T>
using Pcre2Ptr = std::unique_ptr<T, FreePcre2>;

PCRE2_SPTR Units(std::string_view text) { return reinterpret_cast<PCRE2_SPTR>(text.data()); }

}  // namespace

struct Pattern::Code {
  Pcre2Ptr<pcre2_code> code;
};

Result<Pattern> Pattern::Compile(std::string_view source, Case letters) {
  uint32_t options = PCRE2_UTF | PCRE2_UCP | PCRE2_MATCH_INVALID_UTF | PCRE2_AUTO_CALLOUT;
  if (letters == Case::kIgnored) options |= PCRE2_CASELESS;
  int error = 0;
  PCRE2_SIZE error_at = 0;
  auto made = std::make_shared<Code>();
  made->code.reset(
      pcre2_compile(Units(source), source.size(), options, &error, &error_at, nullptr));
  if (made->code == nullptr) {
    std::array<PCRE2_UCHAR, 256> message{};
    pcre2_get_error_message(error, message.data(), message.size());
    return Fail(ErrorCode::kInvalidArgument, "{} is no pattern, at its byte {}: {}", Quoted(source),
                error_at, reinterpret_cast<const char*>(message.data()));
  }
  // Where PCRE2 has no JIT, its interpreter matches the same.
  pcre2_jit_compile(made->code.get(), PCRE2_JIT_COMPLETE);
  return Pattern(std::move(made));
}

Pattern::Outcome Pattern::Find(std::string_view text) const {
  const Pcre2Ptr<pcre2_match_data> data(pcre2_match_data_create(1, nullptr));
  const Pcre2Ptr<pcre2_match_context> context(pcre2_match_context_create(nullptr));
  Work work;
  pcre2_set_match_limit(context.get(), kMostSteps);
  pcre2_set_depth_limit(context.get(), kMostSteps);
  pcre2_set_callout(context.get(), CountWork, &work);
  const int rc =
      pcre2_match(code_->code.get(), Units(text), text.size(), 0, 0, data.get(), context.get());
  if (rc == PCRE2_ERROR_NOMATCH) return Outcome::kNotFound;
  return rc < 0 ? Outcome::kGivenUp : Outcome::kFound;
}

}  // namespace quern
