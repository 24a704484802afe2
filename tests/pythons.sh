#!/usr/bin/env bash
# Lists the Pythons of this machine that Stepstub runs on, oldest first: "3.12 /path/to/python".
# They are looked for on the PATH and among pyenv's; one for each minor version.
set -euo pipefail

{
  IFS=:
  for folder in $PATH; do
    printf '%s\n' "$folder"/python3.*
    # On a PATH with pyenv's shims, those of versions that are not selected only say so.
    [ "${folder##*/}" != shims ] || printf '%s\n' "${folder%/*}"/versions/*/bin/python
  done
  printf '%s\n' "${PYENV_ROOT:-$HOME/.pyenv}"/versions/*/bin/python
} | grep -E '/python(3\.[0-9]+)?$' | while read -r python; do
  # No pre-releases, no free threading, no PyPy: not everything that is pinned has wheels for them.
  "$python" 2>/dev/null </dev/null -c '
import ensurepip, sys, sysconfig, venv
fits = sys.version_info >= (3, 11) and sys.version_info.releaselevel == "final"
if fits and sys.implementation.name == "cpython" and not sysconfig.get_config_var("Py_GIL_DISABLED"):
    print("%d.%d" % sys.version_info[:2], sys.executable)
' || true
done | sort -s -V -u -k 1,1
