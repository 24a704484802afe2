#!/usr/bin/env bash
# Builds the wheel and the source archive, and uses each as a user would: in an environment that has
# nothing else, on each of the Pythons given, and with uvx.
# usage: check_dist.sh BUILDER PYTHON...    (BUILDER has the packages of the extra `dev`)
set -euo pipefail
builder=$(realpath --no-symlinks "$1")
pythons=("${@:2}")
room=$(mktemp -d)
server=
trap '[ -z "$server" ] || kill "$server" 2>/dev/null || true; rm -rf "$room"' EXIT

quietly() {
  "$@" >"$room/log" 2>&1 || { cat "$room/log" >&2; exit 1; }
}

pip() {
  "$1" -m pip --disable-pip-version-check --quiet "${@:2}"
}

fail() {
  echo "$@" >&2
  exit 1
}

names() {  # of the files in a wheel
  "$builder" -c 'import sys, zipfile; print(*sorted(zipfile.ZipFile(sys.argv[1]).namelist()), sep="\n")' "$1"
}

build() {  # source, folder
  quietly "$builder" -m build --no-isolation --outdir "$2" "$1"
}

sums() {  # of the files in a folder
  (cd "$1" && sha256sum -- *)
}

# The bytes are the same again: from the source archive, elsewhere, later, and with other rights.
export SOURCE_DATE_EPOCH=1577836800
build . "$room/dist"
wheel=$(echo "$room"/dist/stepstub-*.whl)
archive=$(echo "$room"/dist/stepstub-*.tar.gz)
mkdir "$room/unpacked"
(umask 077 && tar -xzf "$archive" --no-same-permissions --touch --strip-components 1 -C "$room/unpacked")
(umask 077 && build "$room/unpacked" "$room/again")
sums "$room/again" | diff <(sums "$room/dist") - || fail "the same source made other bytes"

# They have every file.
names "$wheel" >"$room/names"
find -L src/stepstub -name __pycache__ -prune -o -type f -print | sed 's|^src/||' | LC_ALL=C sort >"$room/sources"
grep -v '\.dist-info/' "$room/names" | LC_ALL=C sort | diff "$room/sources" - || fail "the wheel is not the package"
for file in handlers/credentials.py fixtures/two-steps.yaml contract_tests/run.py contract_tests/rendering/page/report.html contract_tests/rendering/report.schema.json src/stepstub/readings.md src/stepstub/overlays/timestamp.yaml fixtures/readings/*.yaml openapi.yaml Makefile Containerfile requirements/*.txt tests/*.py docs/*.md examples/*.py CONTRIBUTING.md AGENTS.md llms.txt; do
  [ -f "$room/unpacked/$file" ] || fail "the source archive has no $file"
done

# A file that is gone is not installed again from what an earlier installation left.
mkdir "$room/checkout"
cp -a src handlers fixtures contract_tests docs openapi.yaml pyproject.toml README.md LICENSE "$room/checkout"
cp fixtures/two-steps.yaml "$room/checkout/fixtures/gone.yaml"
pip "$builder" install --no-deps --no-build-isolation --target "$room/before" "$room/checkout"
rm "$room/checkout/fixtures/gone.yaml"
pip "$builder" install --no-deps --no-build-isolation --target "$room/after" "$room/checkout"
scenarios() {  # of the installation in that folder
  PYTHONPATH=$1 "$builder" -c 'from stepstub import scenario; print(*scenario.built_in(), sep="\n")'
}
[[ $(scenarios "$room/before") == *gone* ]] || fail "a new scenario was not installed"
[[ $(scenarios "$room/after") != *gone* ]] || fail "a deleted scenario was installed"

use() {  # the command given: serve, send the line that is printed twice, and end it
  local banner line first second console page
  exec {banner}< <(exec "$@" serve --port 0 2>"$room/serve.log")
  server=$!
  until read -r -u "$banner" line; [[ $line == curl* || -z $line ]]; do
    [[ $line != Console:* ]] || console=${line#Console: }
  done
  first=$(bash -c "$line" 2>/dev/null) || true
  second=$(bash -c "$line" 2>/dev/null) || true
  page=$(curl -sf "$console/sandboxes/default") || true
  curl -sf "$console/static/base.css" >/dev/null || fail "the console has no styles"
  kill -TERM "$server" || true
  wait "$server" || fail "serve did not end cleanly: $(cat "$room/serve.log")"
  server=
  exec {banner}<&-
  grep -q '200 OK' <<<"$first" || fail "$first$(cat "$room/serve.log")"
  grep -q 'order-1-ship' <<<"$first" || fail "$first"
  grep -q 'STEP_COMPLETED' <<<"$second" || fail "$second"
  grep -q 'order-1-approve' <<<"$page" || fail "the console does not show the exchanges: $page"
}

uvx=$(dirname "$builder")/uvx
requirements=$PWD/requirements/build.txt
cd "$room"
for python in "${pythons[@]}"; do
  version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
  "$python" -m venv "$room/$version"
  installed=$room/$version/bin
  pip "$installed/python" install --require-hashes -r "$requirements"
  for file in "$wheel" "$archive"; do
    pip "$installed/python" install --no-deps --no-build-isolation "$file"
    use "$installed/stepstub"
    pip "$installed/python" uninstall --yes stepstub
    echo "Python $version, ${file##*/}: the printed curl line got 200, its repetition 412, SIGTERM ended it cleanly"
  done
done

# Without an environment of one's own.
for file in "$wheel" "$archive"; do
  use "$uvx" --quiet --no-cache --system-certs --python "${pythons[0]}" --from "$file" stepstub
  echo "uvx, ${file##*/}: likewise"
done
