#!/bin/sh
# Prints the files that changed since a commit, the most changed first. Files that only moved are left out, and so are
# those whose #include lines alone followed a move.
# usage: changed-files.sh BASE [PATHSPEC...]
set -eu
cd "$(dirname "$0")/.."
base=${1:?a commit is needed}
shift
git rev-parse --verify --quiet "$base^{commit}" >/dev/null || { echo "error: no commit '$base'" >&2; exit 1; }

# -l0: however many files moved, each is compared with all.
git diff --no-ext-diff --no-color --find-renames -l0 --unified=0 "$base" -- "$@" |
  awk '
  /^diff --git / { file = ""; in_hunk = 0; next }
  !in_hunk && /^\+\+\+ b\// { file = substr($0, 7); next }
  /^@@ / { in_hunk = 1; next }
  in_hunk && file != "" && /^[+-]/ && !/^[+-][ \t]*(#[ \t]*include.*)?$/ { ++lines[file] }
  END { for (file in lines) print lines[file] "\t" file }' |
  sort -rn | cut -f 2
