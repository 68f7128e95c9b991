"""Laws that hold for any bytes, of the parsers of input that others wrote.

A target takes bytes and returns, or a law is broken. `run.py` searches for such bytes, guided by
coverage; `test_corpus.py` replays the inputs found.
"""

from __future__ import annotations

import calendar
import contextlib
import datetime as dt
import json
import re
import socket
import uuid
from collections.abc import Callable, Mapping
from typing import Any, Final, NoReturn

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from tests.kit.declared import DEVICE_ID, IP, login_place
from tests.kit.fakes.login_events import sns_envelope
from tests.kit.fakes.receipts import any_receipt
from tests.kit.login_kinds import KINDS
from tests.kit.login_records import column
from tests.kit.parsed import MAX_CODE_POINTS, NAMES, parse_event
from vault_etl.archives.keys_file import KeysFile
from vault_etl.archives.manifest import SetManifest
from vault_etl.archives.manifest_note import ManifestNote
from vault_etl.audit.opening import Opener
from vault_etl.base.errors import DataError, IntegrityError
from vault_etl.base.pii import Pii
from vault_etl.crypto.ciphertext import Ciphertext, ValuePlace, pad
from vault_etl.crypto.keys import DataKey, KeyMaterial, TokenKey
from vault_etl.crypto.sealing import Sealer
from vault_etl.crypto.tokens import Tokenizer
from vault_etl.event.envelopes import inside, text_of_base64
from vault_etl.event.events import MAX_ENVELOPES
from vault_etl.event.parsed_event import ParsedEvent
from vault_etl.event.rejection import Reason, RejectedError, Rejection
from vault_etl.ingest.sources.content_splitter import ContentSplitter
from vault_etl.kinds.blank import is_blank

RECORD: Final = uuid.UUID("019b76da-a87b-73e6-8074-f1e73a6ddeb4")
PLACE: Final = login_place(IP, RECORD, "u-1")
KEY: Final = DataKey(0x01020304, IP, KeyMaterial(bytes(range(32))))
WRONG_KEY: Final = DataKey(0x01020304, IP, KeyMaterial(bytes(32)))
NONCE: Final = bytes(range(12))
VALUE: Final = b"203.0.113.7"
STORED: Final = Sealer([KEY])._seal_with_nonce(Pii(VALUE), PLACE, NONCE)

_TOKENIZER: Final = Tokenizer(
    (TokenKey(1, field, 1, KeyMaterial(bytes(32))) for field in KINDS), KINDS
)
_REQUIRED: Final = ("user_id", "device_type", "ip", "device_id")
_NAMES: Final = (*_REQUIRED, "create_date", "locale", "app_version")
_NOT_JSON: Final = (Reason.NOT_UTF8, Reason.NOT_JSON)
_UNREAD: Final = (
    *(Reason.BODY_TOO_LARGE, Reason.NESTED_TOO_DEEP, Reason.FIELD_TWICE, Reason.SEVERAL_EVENTS),
)
"""The decision comes before all is read: the rest may not be JSON, or an envelope's message not an event."""
_PATH: Final = re.compile(
    r"\$(\.(user_id|device_type|ip|device_id|locale|app_version|create_date))?"
)
_DATE: Final = re.compile(
    "([0-9]{4})-([0-9]{2})-([0-9]{2})(?:[Tt ]([0-9]{2}):([0-9]{2})(?::([0-9]{2})(?:[.][0-9]{1,9})?)?"
    "([Zz]|[+-][0-9]{2}(?::?[0-9]{2})?))?"
)
_FIRST: Final = calendar.timegm((1, 1, 1, 0, 0, 0))
_LAST: Final = calendar.timegm((9999, 12, 31, 23, 59, 59))
_NOT_STORABLE: Final = re.compile("[\x00\ud800-\udfff]")


def event(data: bytes) -> None:
    """`parse_event` never raises; what it lets through can be tokenised, sealed and stored."""
    parsed = parse_event(data)
    if isinstance(parsed, Rejection):
        assert parsed.reason in Reason
        assert _PATH.fullmatch(parsed.path)
        assert parse_event(data) == parsed
        if parsed.reason in _NOT_JSON:
            assert not _is_json(data) or _is_envelope(data)
        elif parsed.reason not in _UNREAD:
            assert _is_json(data) or _is_envelope(data)
        return
    texts = _texts(parsed)
    given = _given(data)
    for name, text in texts.items():
        value = given.get(name)
        assert (value.decode() if isinstance(value, bytes) else value) == text
        assert len(text) <= MAX_CODE_POINTS.get(name, 64)
        assert not _NOT_STORABLE.search(text)
    assert all(texts[name].strip() for name in _REQUIRED)
    named = given.get("create_date")
    assert _date_shown(parsed) == (None if named is None else _date(named))
    ip = parsed.personal[IP]
    assert _TOKENIZER.token(IP, ip) == _TOKENIZER.token(IP, ip)
    assert _TOKENIZER.token(DEVICE_ID, parsed.personal[DEVICE_ID]).int
    place = login_place(IP, RECORD, parsed.subject)
    assert _opened(Sealer([KEY]).seal(ip, place), place, KEY) == ip.expose()


def _given(data: bytes) -> Mapping[str, Any]:
    """The object in the envelopes, read by the standard library alone; numbers keep their spelling."""
    value: object = data.decode()
    for _ in range(2 * MAX_ENVELOPES + 1):
        if isinstance(value, dict) and not value.keys().isdisjoint(_NAMES):
            return value
        if isinstance(value, str):
            try:
                value = json.loads(value, parse_int=str.encode, parse_float=str.encode)
            except ValueError:
                value = text_of_base64(str(value))
        else:
            value = inside(value)
    raise AssertionError


def _is_envelope(data: bytes) -> bool:
    """Return True if the object holds a message that is judged in its place."""
    try:
        value = json.loads(data.decode(), parse_int=str.encode, parse_float=str.encode)
    except UnicodeDecodeError:
        return False
    except ValueError:
        return text_of_base64(data.decode()) is not None
    try:
        return inside(value) is not None
    except RejectedError:
        return True


def _is_json(data: bytes) -> bool:
    """RFC 8259: numbers of any length, and no NaN."""
    try:
        json.loads(data.decode(), parse_int=float, parse_constant=_no_constant)
    except ValueError:
        return False
    return True


def enveloped(data: bytes) -> None:
    """A message in an envelope gives the same result as without, except for one layer too many."""
    with contextlib.suppress(UnicodeDecodeError):
        alone, wrapped = parse_event(data), parse_event(sns_envelope(data.decode()))
        too_deep = Rejection(Reason.NESTED_TOO_DEEP)
        assert _shown(wrapped) == _shown(alone) or wrapped == too_deep
    event(sns_envelope(data.decode("utf-8", "surrogateescape")))


def _shown(parsed: ParsedEvent | Rejection) -> object:
    if isinstance(parsed, Rejection):
        return parsed
    return _texts(parsed), _date_shown(parsed), parsed.extra_fields


def _no_constant(_: str) -> NoReturn:
    raise ValueError


def fields(data: bytes) -> None:
    """The lines are the values of one event: the event is accepted exactly if each value is good."""
    texts = [line.decode("utf-8", "surrogateescape") for line in data.split(b"\n")]
    given = dict(zip(_NAMES, texts, strict=False))
    body = json.dumps(given).encode()
    event(body)
    good = all(name in given and not is_blank(given[name]) for name in _REQUIRED) and all(
        len(text) <= MAX_CODE_POINTS.get(name, 64) and not _NOT_STORABLE.search(text)
        for name, text in given.items()
    )
    good = good and _is_address(given["ip"].strip(" "))
    good = good and ("create_date" not in given or _date(given["create_date"]) is not None)
    assert isinstance(parse_event(body), ParsedEvent) == good


def _is_address(text: str) -> bool:
    """The C library decides: an oracle that shares no code with Python's."""
    for family in (socket.AF_INET, socket.AF_INET6):
        with contextlib.suppress(OSError, ValueError):
            socket.inet_pton(family, text)
            return True
    return False


def _date(text: str) -> tuple[int, int | None] | None:
    """The day and the second that it names, since 1970 in UTC; None if the text names no accepted day."""
    parts = _DATE.fullmatch(text)
    if not parts:
        return None
    year, month, day, hour, minute, second = (int(part or 0) for part in parts.groups()[:6])
    if not (year and 1 <= month <= 12 and 1 <= day <= calendar.monthrange(year, month)[1]):
        return None
    seconds = calendar.timegm((year, month, day, hour, minute, second))
    zone = parts[7]
    if zone is None:
        return seconds // 86_400, None
    digits = zone[1:].replace(":", "").ljust(4, "0")
    ahead = int(digits[:2]) * 60 + int(digits[2:])
    seconds -= ahead * (-60 if zone[0] == "-" else 60)
    if max(hour, int(digits[:2])) > 23 or max(minute, second, int(digits[2:])) > 59:
        return None
    return (seconds // 86_400, seconds) if _FIRST <= seconds <= _LAST else None


def _date_shown(parsed: ParsedEvent) -> tuple[int, int | None] | None:
    if parsed.day is None:
        return None
    day = parsed.day.toordinal() - dt.date(1970, 1, 1).toordinal()
    moment = column(parsed, "event_time")
    return day, None if moment is None else calendar.timegm(moment.timetuple())


def _texts(parsed: ParsedEvent) -> dict[str, str]:
    plain = {name: column(parsed, name) for name in ("device_type", "locale", "app_version")}
    personal = {str(name): value.expose().decode() for name, value in parsed.personal.items()}
    texts = {"user_id": parsed.subject, **plain, **personal}
    return {name: text for name, text in texts.items() if text is not None}


def ciphertext(data: bytes) -> None:
    """Only a value that was sealed for the place opens. The first byte selects the meaning of the rest."""
    how, rest = data[:1], data[1:]
    (_stored_bytes, _damage, _padded_text)[how[0] % 3 if how else 0](rest)


def _stored_bytes(stored: bytes) -> None:
    """The rest is the content of the database."""
    with contextlib.suppress(IntegrityError):
        assert Ciphertext.parse(stored).serialise() == stored
    assert _opened(stored, PLACE, KEY) == (VALUE if stored == STORED else None)
    assert _opened(stored, PLACE, WRONG_KEY) is None


def _damage(mask: bytes) -> None:
    """The rest is laid over an authentic ciphertext, bit for bit; surplus bytes are appended."""
    length = max(len(mask), len(STORED))
    both = zip(mask.ljust(length, b"\x00"), STORED.ljust(length, b"\x00"), strict=True)
    _stored_bytes(bytes(one ^ other for one, other in both))


def _padded_text(padded: bytes) -> None:
    """A party with the key sealed the rest: it opens exactly if `pad` makes the same bytes."""
    sealed = AESGCM(KEY.material.expose()).encrypt(NONCE, padded, PLACE.associated_data(KEY.key_id))
    opened = _opened(Ciphertext(KEY.key_id, NONCE, sealed).serialise(), PLACE, KEY)
    value = padded.rstrip(b"\x00")[:-1]
    assert opened == (value if pad(value) == padded else None)


def _opened(stored: bytes, place: ValuePlace, key: DataKey) -> bytes | None:
    try:
        return Opener(any_receipt()).open(stored, place, key).expose()
    except IntegrityError:
        return None


def content(data: bytes) -> None:
    """A file of any bytes is refused, or its records are numbered upwards, whatever the sizes of its pieces.

    The first byte says where the file is cut. Except for rows of CSV, the content contains each record, in order.
    """
    cut, whole = int.from_bytes(data[:1]), data[1:]
    for keep_going in (False, True):
        records = _records([whole], keep_going=keep_going)
        assert _records([whole[:cut], whole[cut:]], keep_going=keep_going) == records
        if records is None:
            continue
        numbers = [number for number, _ in records]
        assert numbers == sorted(set(numbers))
        at = 0
        for _, record in records:
            found = whole.find(record, at)
            assert found >= 0 or _is_json(record)
            at = max(at, found)


def _records(pieces: list[bytes], *, keep_going: bool) -> list[tuple[int, bytes]] | None:
    splitter = ContentSplitter("f", NAMES, keep_going=keep_going)
    try:
        return [record for piece in pieces for record in splitter.feed(piece)] + splitter.finish()
    except DataError:
        return None


def manifest(data: bytes) -> None:
    """A manifest that is read is written back unchanged, and only an error of our own is raised."""
    for kind in (SetManifest, ManifestNote, KeysFile):
        with contextlib.suppress(DataError):
            assert kind.parse(data).encode() == data


TARGETS: Final[Mapping[str, Callable[[bytes], None]]] = {
    "event": event,
    "enveloped": enveloped,
    "fields": fields,
    "ciphertext": ciphertext,
    "content": content,
    "manifest": manifest,
}
