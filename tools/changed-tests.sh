#!/bin/sh
# Prints the test executables that what changed since a commit calls for: those of changed tests, those whose path mirrors
# that of a changed source, all of the folder where a source has no test of its own, and all that use a changed helper.
# usage: changed-tests.sh BASE [MOST]   At most MOST of them, those of the most changed files; says how many are left out.
set -eu
cd "$(dirname "$0")/.."
most=${2:-}

files=$(tools/changed-files.sh "${1:?a commit is needed}" '*.cc' '*.h' '*.inc')
tests=$(
  echo "$files" | while read -r file; do
    stem=$(echo "$file" | sed -E 's/(-inl)?\.[a-z]+$//')
    case $file in
      tests/*_test.cc)
        if [ -f "$file" ]; then echo "$file"; fi
        ;;
      tests/*)
        git grep -l -F "\"$stem.h\"" -- 'tests/*_test.cc' || true
        ;;
      */*)
        if [ -f "tests/${stem}_test.cc" ]; then
          echo "tests/${stem}_test.cc"
        else
          folder=tests/${file%/*}
          until [ -d "$folder" ]; do folder=${folder%/*}; done
          [ "$folder" = tests ] || find "$folder" -maxdepth 1 -name '*_test.cc' | sort
        fi
        ;;
    esac
  done | awk '!seen[$0]++' | sed 's|.*/||; s|\.cc$||'
)
[ -n "$tests" ] || exit 0
most=${most:-100000}
left_out=$(($(echo "$tests" | wc -l) - most))
[ "$left_out" -le 0 ] || echo "$left_out further tests of what changed are left out" >&2
echo "$tests" | head -n "$most"
