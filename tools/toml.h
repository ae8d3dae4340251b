// toml++ without its assertions. Some texts break them, `[[[a]]]` for one, though the code behind
// them has an error for the text: with them the program would abort, or with NDEBUG, where they are
// promises to the compiler, do anything.
#pragma once

#pragma push_macro("NDEBUG")
#undef NDEBUG
#define TOML_ASSERT(expr) static_assert(true)
#include <toml++/toml.h>  // IWYU pragma: export
#pragma pop_macro("NDEBUG")
