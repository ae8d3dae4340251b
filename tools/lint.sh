#!/bin/sh
# Checks form: shell scripts, include direction, clang-format, clang-tidy (which needs a build of the release preset).
# usage: lint.sh [BASE]   With BASE, a commit, clang-tidy reads only the files that changed since it.
set -eu
cd "$(dirname "$0")/.."
tools/setup/install.sh lint
build=build/release

git ls-files "*.sh" .ci/run | xargs shellcheck
tools/check-includes.sh
git ls-files '*.cc' '*.h' '*.inc' | xargs clang-format --dry-run --Werror

if [ -n "${1-}" ]; then
  files=$(git diff --name-only --diff-filter=d "$1" -- '*.cc')
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
echo "$files" | xargs --no-run-if-empty --max-args=1 --max-procs="$(nproc)" \
  clang-tidy --quiet -p "$commands" --extra-arg=-DHWY_COMPILE_ONLY_STATIC
