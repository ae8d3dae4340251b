#!/bin/sh
# Checks form: shell scripts, include direction, documents, clang-format, clang-tidy (which needs a configured build of the
# release preset).
# usage: lint.sh [BASE [MINUTES]]
#   BASE      a commit: clang-tidy reads only the sources that changed since it, or whose header did
#   MINUTES   after which clang-tidy begins no further source, and names those that it has not read
set -eu
cd "$(dirname "$0")/.."
tools/setup/install.sh lint
build=build/release

git ls-files "*.sh" .ci/run | xargs shellcheck
tools/check-includes.sh
tools/check-documents.sh
git ls-files '*.cc' '*.h' '*.inc' | xargs clang-format --dry-run --Werror

if [ -n "${1-}" ]; then
  changed=$(tools/changed-files.sh "$1" '*.cc' '*.h')
  changed=$(echo "$changed" | sed 's/\.h$/.cc/' | awk '!seen[$0]++')
  # A header alone has no source.
  files=$(for file in $changed; do [ ! -f "$file" ] || echo "$file"; done)
else
  files=$(git ls-files '*.cc')
fi
# Without llama.cpp's headers the driver of it is not compiled.
tools/setup/fetch-peers.sh --check || files=$(echo "$files" | grep -v '^tests/peer/llama_peer.cc$')
# Clang takes g++'s choices of passes for errors.
commands=$(mktemp -d)
trap 'rm -rf "$commands"' EXIT
sed 's/ -fno-tree-[a-z]*//g' "$build/compile_commands.json" >"$commands/compile_commands.json"

# One SIMD target shows clang-tidy all that the kernels' sources say; all seven would take seven times as long.
end=$(($(date +%s) + ${2:-10000} * 60))
# shellcheck disable=SC2016  # the inner shell's
echo "$files" | xargs --no-run-if-empty --max-args=1 --max-procs="$(nproc)" sh -c '
  if [ "$(date +%s)" -lt "$1" ]; then
    clang-tidy --quiet -p "$0" --extra-arg=-DHWY_COMPILE_ONLY_STATIC "$2"
  else
    echo "not read by clang-tidy, for lack of time: $2"
  fi' "$commands" "$end"
