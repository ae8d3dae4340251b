// QUERN_DCHECK: stops loudly on a broken invariant of our own in debug builds; never used on input.
#pragma once

#include <cstdio>
#include <cstdlib>

namespace quern {

[[noreturn]] inline void CheckFailed(const char* condition, const char* file, int line) {
  std::fprintf(stderr, "%s:%d: invariant broken: %s\n", file, line, condition);
  std::abort();
}

}  // namespace quern

#ifdef NDEBUG
#define QUERN_DCHECK(condition) static_cast<void>(sizeof(!(condition)))
#else
#define QUERN_DCHECK(condition) \
  ((condition) ? static_cast<void>(0) : ::quern::CheckFailed(#condition, __FILE__, __LINE__))
#endif
