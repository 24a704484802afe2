"""The form in which records are kept in a store outside the process.

A step is compared byte for byte, so the same step has to be the same bytes: JSON by msgspec, which
keeps the order of params, tells 3 from 3.0 and loses no digit of a long number. What is never
compared, and may have bodies of any bytes, is msgpack.
"""

from collections.abc import Iterable, Sequence

from msgspec import Struct, json, msgpack

from stepstub.delegates import DelegateCall
from stepstub.faults import Rule
from stepstub.journal import Entry
from stepstub.model import Process, Step
from stepstub.stores.protocol import Owed
from stepstub.transitions import Change

encode_step = json.Encoder().encode
decode_step = json.Decoder(Step).decode


def as_kept(process: Process) -> Process:
    """The process as it comes out again: a time-out of 3 s is one of 3.0 s."""
    return Process(process.id, tuple(decode_step(encode_step(step)) for step in process.steps))


encode_call = json.Encoder().encode
decode_call = json.Decoder(DelegateCall).decode

encode_ids = json.Encoder().encode

_encode_entry = msgpack.Encoder().encode
_decode_entry = msgpack.Decoder(Entry).decode

_encode_rules = msgpack.Encoder().encode
_decode_rules = msgpack.Decoder(list[Rule]).decode


class Debt(Struct, frozen=True):
    """What is owed for a delegate call: enough for another process to make it."""

    written: Change
    call: DelegateCall
    responded: bool = False

    def owed(self, number: int, attempt: int, due: int) -> Owed:
        self.call.number, self.call.attempt = number, attempt
        return Owed(self.written, self.call, due, self.responded)


encode_debt = json.Encoder().encode
decode_debt = json.Decoder(Debt).decode


def steps(records: Sequence[bytes | None]) -> tuple[Step | None, ...]:
    """Of records that are perhaps not there."""
    return tuple([None if record is None else decode_step(record) for record in records])


def encode_entry(entry: Entry) -> bytes:
    """An exchange without what the store knows by itself: its number and when it came in."""
    number, received_at = entry.number, entry.received_at
    entry.number = entry.received_at = 0
    try:
        return _encode_entry(entry)
    finally:
        entry.number, entry.received_at = number, received_at


def kept_entry(entry: Entry) -> bytes:
    """An exchange as it is kept, once it has been numbered: as the script that opens it does."""
    return b":%d:%b" % (entry.received_at, encode_entry(entry))


def decode_entry(number: int, kept: bytes) -> Entry:
    _, received_at, encoded = kept.split(b":", 2)
    entry = _decode_entry(encoded)
    entry.number, entry.received_at = number, int(received_at)
    return entry


def encode_rules(rules: Iterable[Rule]) -> bytes:
    return _encode_rules(list(rules))


def decode_rules(kept: bytes) -> list[Rule]:
    return _decode_rules(kept) if kept else []
