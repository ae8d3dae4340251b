#!/bin/sh
# Puts one library of dependencies.txt under .deps/NAME: from a newer Debian suite, else its upstream release.
# usage: fetch-library.sh NAME   Needs no root: apt works here in folders of its own, so the system stays as it is.
set -eu
cd "$(dirname "$0")/../.."
root=$PWD

row=$(awk -v name="$1" '$2 == name { print; exit }' tools/setup/dependencies.txt)
[ -n "$row" ] || { echo "error: $1 is not in tools/setup/dependencies.txt" >&2; exit 1; }
read -r _ name minimum _ newer url sha256 <<END
$row
END

mkdir -p .deps
work=$(mktemp -d "$root/.deps/fetch.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM  # sh runs the line above only where it exits
mkdir "$work/library"

# apt-get that sees one suite of Debian, at the mirrors that this machine's own lists name. Packages are checked
# against Debian's keys as always. $1: deb or deb-src, $2: suite, then apt-get's arguments.
apt_of_suite() {
  type=$1
  suite=$2
  shift 2
  # shellcheck disable=SC2016  # the $() are apt's
  mirrors=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Origin: Debian' 'Label: Debian' \
    'Component: main' | sort -u | tr '\n' ' ')
  [ -n "$mirrors" ] || return 1
  cat > "$work/suite.sources" <<END
Types: $type
URIs: $mirrors
Suites: $suite
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg
END
  mkdir -p "$work/lists/partial" "$work/cache/archives/partial"
  apt-get -qq -o APT::Sandbox::User=root -o Acquire::Languages=none \
    -o Dir::Etc::SourceList="$work/suite.sources" -o Dir::Etc::SourceParts=/dev/null \
    -o Dir::State::Lists="$work/lists" -o Dir::Cache="$work/cache" "$@"
}

from_debian() {
  command -v apt-get >/dev/null || return 1
  package=${newer#*/}
  suite=${newer%/*}
  suite=${suite#*:}
  echo "fetching $name from the $suite suite of Debian"
  case $newer in
    source:*)
      apt_of_suite deb-src "$suite" update || return 1
      (cd "$work" && apt_of_suite deb-src "$suite" source --download-only "$package") || return 1
      tar -xf "$work/${package}"_*.orig.tar.* -C "$work/library" --strip-components=1 --no-same-owner
      ;;
    binary:*)
      apt_of_suite deb "$suite" update || return 1
      (cd "$work" && apt_of_suite deb "$suite" download "$package") || return 1
      dpkg -x "$work/${package}"_*.deb "$work/library"
      ;;
  esac
  # apt names what it fetched PACKAGE_VERSION...
  fetched=$(find "$work" -maxdepth 1 -name "${package}_*.orig.tar.*" -o -maxdepth 1 -name "${package}_*.deb")
  fetched=${fetched##*/"${package}"_}
  dpkg --compare-versions "${fetched%%[_-]*}" ge "$minimum"
}

from_upstream() {
  [ "$url" != - ] || return 1
  rm -rf "$work/library"
  mkdir "$work/library"
  echo "fetching $name from $url"
  curl --fail --silent --show-error --location --output "$work/release.tar.gz" "$url" || return 1
  echo "$sha256  $work/release.tar.gz" | sha256sum --check --quiet || return 1
  tar -xzf "$work/release.tar.gz" -C "$work/library" --strip-components=1 --no-same-owner
}

from_debian || from_upstream || { echo "error: $name $minimum or newer could not be fetched" >&2; exit 1; }
rm -rf ".deps/$name"
mv "$work/library" ".deps/$name"
echo "$minimum" > ".deps/$name.minimum"
