#!/usr/bin/env bash
# Makes the release of the last commit twice, in clones whose paths have nothing in common, and compares every file of the
# two, byte by byte.
set -euo pipefail
cd "$(dirname "$0")/../.."
repository=$PWD
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

make_in() {
	git clone --quiet "$repository" "$1"
	make --no-print-directory --directory "$1" release
}
make_in "$work/one"
make_in "$work/another/folder/of-a-different-length"

diff -r "$work/one/target/dist" "$work/another/folder/of-a-different-length/target/dist"
# Nothing in it tells where it was made, either.
for place in "$work" "$HOME"; do
	if grep -rlaF "$place" "$work/one/target/dist"; then
		echo "release: the files above contain $place" >&2
		exit 1
	fi
done
echo "release: both builds are the same, byte by byte"
