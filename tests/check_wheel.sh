#!/usr/bin/env bash
# Builds the wheel and uses it as a user would: in an environment that has nothing else.
# usage: check_wheel.sh PYTHON    (one that has the packages `build` and `hatchling`)
set -euo pipefail
python=$1
room=$(mktemp -d)
server=
trap '[ -z "$server" ] || kill "$server" 2>/dev/null || true; rm -rf "$room"' EXIT

quietly() {
  "$@" >"$room/log" 2>&1 || { cat "$room/log" >&2; exit 1; }
}

pip() {
  "$1" -m pip --disable-pip-version-check --quiet "${@:2}"
}

names() {  # of the files in a wheel
  "$python" -c 'import sys, zipfile; print(*sorted(zipfile.ZipFile(sys.argv[1]).namelist()), sep="\n")' "$1"
}

quietly "$python" -m build --wheel --no-isolation --outdir "$room" .
quietly "$python" -m build --sdist --no-isolation --outdir "$room" .

# The wheel has every file of the package, and it is the same by way of the source archive.
pip "$python" wheel --no-deps --no-build-isolation --wheel-dir "$room/again" "$room"/stepstub-*.tar.gz
names "$room"/stepstub-*.whl >"$room/names"
names "$room"/again/stepstub-*.whl | diff "$room/names" - || { echo "the source archive makes another wheel" >&2; exit 1; }
find -L src/stepstub -name __pycache__ -prune -o -type f -print | sed 's|^src/||' | LC_ALL=C sort >"$room/sources"
grep -v '\.dist-info/' "$room/names" | LC_ALL=C sort | diff "$room/sources" - || { echo "the wheel is not the package" >&2; exit 1; }
tar -tzf "$room"/stepstub-*.tar.gz | cut -d / -f 2- >"$room/archived"
for file in handlers/credentials.py fixtures/two-steps.yaml contract_tests/run.py contract_tests/rendering/page/report.html contract_tests/rendering/report.schema.json src/stepstub/readings.md src/stepstub/overlays/timestamp.yaml fixtures/readings/*.yaml openapi.yaml Makefile requirements/*.txt tests/*.py docs/*.md examples/*.py; do
  grep -qxF "$file" "$room/archived" || { echo "the source archive has no $file" >&2; exit 1; }
done

# A file that is gone is not installed again from what an earlier installation left.
mkdir "$room/checkout"
cp -a src handlers fixtures contract_tests docs openapi.yaml pyproject.toml README.md LICENSE "$room/checkout"
cp fixtures/two-steps.yaml "$room/checkout/fixtures/gone.yaml"
pip "$python" install --no-deps --no-build-isolation --target "$room/before" "$room/checkout"
rm "$room/checkout/fixtures/gone.yaml"
pip "$python" install --no-deps --no-build-isolation --target "$room/after" "$room/checkout"
scenarios() {  # of the installation in that folder
  PYTHONPATH=$1 "$python" -c 'from stepstub import scenario; print(*scenario.built_in(), sep="\n")'
}
scenarios "$room/before" | grep -qx gone || { echo "a new scenario was not installed" >&2; exit 1; }
! scenarios "$room/after" | grep -x gone || { echo "a deleted scenario was installed" >&2; exit 1; }

"$python" -m venv "$room/venv"
pip "$room/venv/bin/python" install --require-hashes -r requirements/build.txt
pip "$room/venv/bin/python" install --no-deps "$room"/stepstub-*.whl

cd "$room"
venv/bin/stepstub --help >/dev/null
venv/bin/stepstub serve --port 0 >banner 2>log &
server=$!
for _ in $(seq 100); do grep -q '^Try it' banner && break; sleep 0.1; done
curl_line=$(grep -A1 '^Try it' banner | tail -n 1)
first=$(bash -c "$curl_line" 2>/dev/null)
second=$(bash -c "$curl_line" 2>/dev/null)
address=$(sed -n 's/^Console: //p' banner)
page=$(curl -sf "$address/sandboxes/default")
curl -sf "$address/static/base.css" >/dev/null
kill -TERM "$server"
wait "$server" || { echo "serve did not end cleanly" >&2; exit 1; }
server=
grep -q '200 OK' <<<"$first" || { echo "$first" >&2; cat log >&2; exit 1; }
grep -q 'order-1-ship' <<<"$first" || { echo "$first" >&2; exit 1; }
grep -q 'STEP_COMPLETED' <<<"$second" || { echo "$second" >&2; exit 1; }
grep -q 'order-1-approve' <<<"$page" || { echo "the console does not show the exchanges: $page" >&2; exit 1; }
echo "wheel: the printed curl line got 200, its repetition 412, the console shows both, and SIGTERM ended the server cleanly"
