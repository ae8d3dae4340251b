#!/bin/sh
# Refuses links of documents to files or headings that do not exist, paths of the repository in their text that do not, and a
# front page that is too long.
# usage: check-documents.sh [ROOT]   Prints FILE:LINE: for each, and what is wrong.
set -eu
cd "${1:-$(dirname "$0")/..}"
most_lines=150
bad=$(mktemp)
trap 'rm -f "$bad"' EXIT

documents=$(find . -maxdepth 1 -name '*.md' | sed 's|^\./||'
  find gguf kernels runtime server tools bench tests -name '*.md' | sort)

# The headings of a document as GitHub names them in links.
headings() {
  awk '/^```/ { code = !code } !code && /^#+ / {
    sub(/^#+ +/, ""); $0 = tolower($0); gsub(/[^a-z0-9 _-]/, ""); gsub(/ /, "-"); print }' "$1"
}

# LINE KIND TARGET for each link and each path of a document. Paths with capitals (NAME) stand for many.
# shellcheck disable=SC2016  # the backticks are Markdown's
targets() {
  awk '
  /^```/ { code = !code }
  {
    text = $0
    while (!code && match(text, /\]\([^)]*\)|(src|srcset|href)="[^"]*"/)) {
      link = substr(text, RSTART, RLENGTH)
      text = substr(text, RSTART + RLENGTH)
      sub(/^(\]\(|[a-z]+=")/, "", link); sub(/[)"]$/, "", link)
      if (link !~ /^[a-z]+:/) print FNR, "link", link
    }
    text = $0
    while (match(text, /(^|[ `"(])(\.ci|gguf|kernels|runtime|server|tools|bench|tests)\/[A-Za-z0-9_.\/-]*/)) {
      path = substr(text, RSTART, RLENGTH)
      text = substr(text, RSTART + RLENGTH)
      sub(/^[ `"(]/, "", path); sub(/[.,:;]+$/, "", path)
      # What is followed by {a,b} or * is a pattern.
      if ((path !~ /[A-Z][A-Z]/ || path ~ /\.md$/) && text !~ /^[*{<]/) print FNR, "path", path
    }
  }' "$1"
}

for document in $documents; do
  folder=$(dirname "$document")
  targets "$document" | while read -r line kind target; do
    if [ "$kind" = path ]; then
      [ -e "$target" ] || echo "$document:$line: no such file: $target"
      continue
    fi
    file=${target%%#*}
    path=$folder/$file
    [ -n "$file" ] || path=$document
    if [ ! -e "$path" ]; then
      echo "$document:$line: a link to nothing: $target"
    elif [ "$target" != "$file" ] && ! headings "$path" | grep -qxF "${target#*#}"; then
      echo "$document:$line: no such heading: $target"
    fi
  done
done >"$bad"

lines=$(wc -l <README.md)
[ "$lines" -le "$most_lines" ] || echo "README.md: $lines lines, at most $most_lines are wanted" >>"$bad"
cat "$bad"
[ ! -s "$bad" ]
