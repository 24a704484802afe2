#!/usr/bin/env bash
# Builds the wheel and uses it as a user would: in an environment that has nothing else.
# usage: check_wheel.sh PYTHON    (one that has the package `build`)
set -euo pipefail
python=$1
room=$(mktemp -d)
server=
trap '[ -z "$server" ] || kill "$server" 2>/dev/null || true; rm -rf "$room"' EXIT

"$python" -m build --wheel --no-isolation --outdir "$room" . >"$room/build.log" 2>&1 ||
  { cat "$room/build.log" >&2; exit 1; }
rm -rf stepstub.egg-info build/lib build/bdist.*  # the build leaves them; stale, they would be found first
"$python" -m venv "$room/venv"
"$room/venv/bin/python" -m pip --disable-pip-version-check --quiet install --require-hashes -r requirements/build.txt
"$room/venv/bin/python" -m pip --disable-pip-version-check --quiet install --no-deps "$room"/stepstub-*.whl

cd "$room"
venv/bin/stepstub --help >/dev/null
venv/bin/stepstub serve --port 0 >banner 2>log &
server=$!
for _ in $(seq 100); do grep -q '^Try it' banner && break; sleep 0.1; done
curl_line=$(grep -A1 '^Try it' banner | tail -n 1)
first=$(bash -c "$curl_line" 2>/dev/null)
second=$(bash -c "$curl_line" 2>/dev/null)
kill -TERM "$server"
wait "$server" || { echo "serve did not end cleanly" >&2; exit 1; }
server=
grep -q '200 OK' <<<"$first" || { echo "$first" >&2; cat log >&2; exit 1; }
grep -q 'order-1-ship' <<<"$first" || { echo "$first" >&2; exit 1; }
grep -q 'STEP_COMPLETED' <<<"$second" || { echo "$second" >&2; exit 1; }
echo "wheel: the printed curl line got 200, its repetition 412, and SIGTERM ended the server cleanly"
