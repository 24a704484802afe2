"""Scripts of the shared store, broken on purpose: each does without something that it needs."""

from stepstub.stores.valkey import directory, scripts, store
from stepstub.stores.valkey.scripts import Script, digest_of

_COMPARES = "stands = stands and redis.call('HGET', steps, ARGV[index]) == ARGV[index + 1]"

BREAKS = {
    "compares-nothing": ("apply", _COMPARES, ""),
    "undoes-blindly": ("apply", _COMPARES, f"if ARGV[12] ~= 'end' then {_COMPARES} end"),
    "checks-no-epoch": (
        "prelude",
        "return found[1] == epoch and (ARGV[2] == '' or found[2] == ARGV[2])",
        "return true",
    ),
}
"""Of each: the file, what is in it, and what comes in its place."""


def break_store(name: str) -> None:
    """Have the stores of this process run scripts that are broken so."""
    sound = scripts.script
    _, old, new = (part.encode() for part in BREAKS[name])

    def broken(which: str) -> Script:
        script = sound(which)
        text = script.text.replace(old, new)
        return Script(script.name, text, digest_of(text))

    for module in (store, directory):
        vars(module)["script"] = broken
