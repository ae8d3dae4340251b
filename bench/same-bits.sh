#!/bin/sh
# Compares the logits of two builds of Quern bit for bit: of the demo model, of small random models of each type and of
# several shapes, and with --large of the shapes of an 8B model, on every SIMD target of this machine.
# usage: same-bits.sh OLD_QUERN NEW_QUERN [--large]     Prints each case; fails if one differs.
set -eu

[ $# -ge 2 ] || { sed -n 's/^# usage: /usage: /p' "$0" >&2; exit 2; }
old=$1
new=$2
large=${3-}
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
status=0

# An unknown target is answered with those that there are.
targets=$(QUERN_TARGET=none "$old" run -p x 2>&1 | sed -n 's/.*there are //p' | tr -d ,)
[ -n "$targets" ] || { echo "error: $old names no SIMD targets" >&2; exit 2; }

# $1: how many; token ids below 512, which every vocabulary has.
tokens() {
  awk -v n="$1" 'BEGIN { for (i = 0; i < n; ++i) printf "%s%d", (i ? "," : ""), (i * 7919 + 13) % 512 }'
}

# $1: the case's name; $2: how many tokens; $3: targets; the rest: options of `quern logits`.
compare() {
  name=$1
  n_tokens=$2
  case_targets=$3
  shift 3
  for target in $case_targets; do
    rm -f "$folder/old.npy" "$folder/new.npy"
    QUERN_TARGET=$target "$old" logits --tokens "$(tokens "$n_tokens")" -o "$folder/old.npy" "$@" >"$folder/log" 2>&1 ||
      { cat "$folder/log"; status=1; }
    QUERN_TARGET=$target "$new" logits --tokens "$(tokens "$n_tokens")" -o "$folder/new.npy" "$@" >"$folder/log" 2>&1 ||
      { cat "$folder/log"; status=1; }
    if cmp -s "$folder/old.npy" "$folder/new.npy"; then
      echo "same: $name, $target"
    else
      echo "DIFFERENT: $name, $target"
      status=1
    fi
  done
}

compare "demo model" 200 "$targets"
compare "demo model, cache q8_0, chunks of 7" 200 "$targets" --cache-type-k q8_0 --cache-type-v q8_0 -b 7
for type in F32 F16 BF16 Q8_0 Q4_0 Q4_1 Q5_0 Q5_1 Q2_K Q3_K Q4_K Q5_K Q6_K IQ4_NL IQ4_XS Q4_K_M; do
  "$old" synth "$folder/model.gguf" --type $type >/dev/null 2>&1
  compare "$type" 90 "$targets" "$folder/model.gguf"
  compare "$type, packed" 90 "$targets" "$folder/model.gguf" --load pack
done
for heads in "4 4 64" "6 2 32" "2 1 192" "8 2 128" "6 3 20"; do
  # shellcheck disable=SC2086  # a list of numbers
  set -- $heads
  "$old" synth "$folder/model.gguf" --type F16 --n-head "$1" --n-head-kv "$2" --head-dim "$3" >/dev/null 2>&1
  compare "$1 heads of $3, $2 of KV" 600 "$targets" "$folder/model.gguf"
done
if [ "$large" = --large ]; then
  "$old" synth "$folder/8b.gguf" --preset llama-3.1-8b
  # Without vectors 200 tokens would take half an hour.
  vector_targets=$(echo "$targets" | tr ' ' '\n' | grep -v EMU128 | tr '\n' ' ')
  compare "8B shapes" 200 "$vector_targets" "$folder/8b.gguf" --load pack
fi
exit $status
