#!/bin/sh
# Installs what Quern needs (Debian; root or sudo), builds it, and asks the built-in demo model a question.
# Some minutes the first time, seconds after that.
set -eu
cd "$(dirname "$0")/.."

tools/setup/install.sh build
cmake --preset release --log-level=WARNING
cmake --build --preset release --target quern

quern=build/release/tools/quern
prompt="What is 2+2? Answer:"
echo
echo "\$ $quern run -p \"$prompt\""
"$quern" run -p "$prompt"
echo
echo "Next: $quern chat          talks with the demo model"
echo "      $quern run MODEL.gguf -p TEXT"
echo "      $quern --help"
