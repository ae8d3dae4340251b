#!/bin/sh
# Refuses a source without a test at the mirrored path, gguf/base/utf8.cc and tests/gguf/base/utf8_test.cc, unless
# tests/untested.txt names it with a reason; and lines there that no longer hold.
# usage: check-tests.sh [ROOT]   Prints each such file and what to do, and fails.
set -eu
cd "${1:-$(dirname "$0")/..}"

# Sources: each .cc, and headers with code that have no .cc beside them: a function's or a lambda's body is what needs a test.
# Families are data, which reference_logits_test takes as they are registered.
sources() {
  find gguf kernels runtime server tools -name '*.cc' -not -path 'runtime/model/families/*'
  find gguf kernels runtime server tools -name '*.h' | while read -r header; do
    [ -e "${header%.h}.cc" ] || case $header in
      *-inl.h) echo "$header" ;;
      *) ! grep -qE '\)( const| noexcept)* (: .*)?\{' "$header" || echo "$header" ;;
    esac
  done
}

refused=$({
  sources | sort | sed 's/^/source /'
  find tests -name '*_test.cc' -o -name '*_test.mjs' | sed 's/^/test /'
  grep -vE '^ *(#|$)' tests/untested.txt | sed 's/^/listed /'
} | awk '
  function refuse(text) { print text; bad = 1 }
  $1 == "test" { path = $2; sub(/^tests\//, "", path); sub(/_test\.[a-z]+$/, "", path); tested[path] = $2 }
  $1 == "source" { stem = $2; sub(/(-inl)?\.[a-z]+$/, "", stem); stem_of[$2] = stem }
  $1 == "listed" {
    if ($2 in listed) refuse("tests/untested.txt: " $2 " is there twice")
    listed[$2] = 1
    if (NF < 3) refuse("tests/untested.txt: " $2 " has no reason behind it")
  }
  END {
    for (path in stem_of) {
      stem = stem_of[path]
      if (!(stem in tested) && !(path in listed))
        refuse(path " has no test: write tests/" stem "_test.cc, or name it in tests/untested.txt with what tests it")
      if (stem in tested && path in listed)
        refuse("tests/untested.txt: " path " has a test, " tested[stem] ": take the line out")
    }
    for (path in listed)
      if (!(path in stem_of)) refuse("tests/untested.txt: " path " is gone, or has no code: take the line out")
    exit bad
  }') || {
  echo "$refused" | sort
  exit 1
}
