"""The library does what the commands do, with the same bytes, roles and entries."""

from __future__ import annotations

import datetime as dt
import json
import logging
import subprocess
import sys
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pytest

from tests.kit.vault import Vault
from tests.kit.vaults import copied
from tests.kit.waiting import until
from tests.library.opened import library
from vault_etl import Entry, Ingested, Pii, errors
from vault_etl.audit.entries import MAX_AMOUNT
from vault_etl.base import logs

ADDRESSES = ("198.51.100.7", "198.51.100.8", "2001:db8::7")
LAST = "SELECT action, decision, reason, fields::text FROM audit_log ORDER BY seq DESC LIMIT {}"

SESSIONS = """
SELECT pid FROM pg_stat_activity WHERE application_name LIKE 'vault-etl library%' AND datname = current_database()
"""


def row(number: int, **changes: object) -> dict[str, object]:
    """A row of the default event."""
    return {
        "user_id": f"user-{number}",
        "app_version": "2.3.0",
        "device_type": "android",
        "ip": ADDRESSES[number % len(ADDRESSES)],
        "locale": "PH",
        "device_id": f"dev-{number:05}",
        **changes,
    }


def rows(moment: dt.datetime) -> Iterator[dict[str, object]]:
    """Rows with what Python has and JSON has not, and one that is no event."""
    day = moment.date()
    yield row(0, ip=Pii.of_text(ADDRESSES[0]), create_date=day)
    yield row(1, locale=None, device_id=uuid.UUID(int=7), create_date=day)
    yield row(2, ip=float("nan"), create_date=day)
    yield row(3, create_date=moment, shoe_size=43)


@dataclass(frozen=True)
class Filled:
    """A vault that the library loaded, the day of its rows, the counts, and the tokens that its role ingest made."""

    vault: Vault
    day: dt.date
    of_file: Ingested
    first: Ingested
    again: Ingested
    tokens: Any


@pytest.fixture(scope="module")
def filled(keyed: Vault, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Filled]:
    """Load rows twice, rows that a command loaded from a file, and make the tokens of all addresses."""
    now = dt.datetime.now(dt.UTC)
    day = now.date()
    with copied(keyed, tmp_path_factory.mktemp("library")) as vault:
        written = [row(10, create_date=str(day)), row(11, locale=None, create_date=str(day))]
        lines = "".join(f"{json.dumps(each, sort_keys=True)}\n" for each in written)
        vault.ok("ingest", "ingest", "--file", "-", "--source", "a file", stdin=lines)
        with library(vault, "ingest") as opened:
            of_file = opened.ingest(
                [row(10, create_date=day), row(11, locale=None, create_date=day)], source="a file"
            )
            first = opened.ingest(rows(now), source="a feed")
            again = opened.ingest([*rows(now), row(4, create_date=day)], source="a feed")
            tokens = opened.tokenize("ip", ADDRESSES)
        yield Filled(vault, day, of_file, first, again, tokens)


def test_rows_are_loaded_once(filled: Filled) -> None:
    """A row is known by its source and number; one that is no event is in the quarantine; extra names are counted."""
    assert filled.first == Ingested(4, 3, 0, 1, 0, {"shoe_size": 1})
    assert filled.again == Ingested(5, 1, 3, 0, 1, {"shoe_size": 1})
    stored = filled.vault.sql("SELECT user_id, locale, create_date FROM user_logins ORDER BY 1")
    assert stored == [
        ("user-0", "PH", filled.day),
        ("user-1", None, filled.day),
        ("user-10", "PH", filled.day),
        ("user-11", None, filled.day),
        ("user-3", "PH", filled.day),
        ("user-4", "PH", filled.day),
    ]


def test_the_lines_are_those_of_a_file(filled: Filled) -> None:
    """Rows are the lines that `ingest --file - --source NAME` had: the same digests, and the same record ids."""
    assert filled.of_file == Ingested(2, 0, 2, 0, 0, {})


def test_tokens_are_those_of_the_table(filled: Filled) -> None:
    """The array has Arrow's type of UUIDs, and its tokens join with the table's."""
    assert filled.tokens.type == pa.uuid()
    held = filled.vault.sql("SELECT DISTINCT masked_ip FROM user_logins")
    assert {token for (token,) in held} <= set(filled.tokens.to_pylist())


def test_another_content_is_refused(filled: Filled) -> None:
    """Rows that differ from those of the source before are not loaded, and no error quotes them."""
    with library(filled.vault, "ingest") as opened:
        with pytest.raises(errors.OtherContentError):
            opened.ingest([row(9, create_date=filled.day)], source="a feed")
        with pytest.raises(errors.UsageError, match="row 2 has a value") as wrong:
            opened.ingest([row(5), row(6, ip={ADDRESSES[0]})], source="a third feed")
    assert ADDRESSES[0] not in f"{wrong.value!r} {wrong.value.__context__!r}"


def test_records_are_found_and_revealed_on_the_record(filled: Filled) -> None:
    """Every access has its entry, with a note; values are wrapped, and equal to those that were given."""
    with library(filled.vault, "reveal") as opened:
        found = opened.find("ip", [ADDRESSES[0], "192.0.2.1"], reason="abuse 7", ticket="T-7")
        held, none = found.values
        ids = [record.record_id for record in held.records]
        assert (held.count, none.count, none.records) == (2, 0, ())
        assert {record.subject for record in held.records} == {"user-0", "user-3"}
        assert filled.vault.sql(LAST.format(2)) == [
            ("find", "done", "abuse 7", "{ip}"),
            ("find", "allowed", "2 values: abuse 7", "{ip}"),
        ]
        revealed = list(opened.reveal(ids, reason="abuse 7", fields=["ip"]))
        assert [each.record_id for each in revealed] == ids
        values = [each.values["ip"] for each in revealed]
        assert [value.expose() for value in values if value] == [ADDRESSES[0].encode()] * 2
        assert ADDRESSES[0] not in repr(revealed)
        assert (
            filled.vault.sql(LAST.format(4))
            == [
                ("reveal", "done", "abuse 7", "{ip}"),
                ("reveal", "allowed", "abuse 7", "{ip}"),
            ]
            * 2
        )
        for entry in (found.entry, *(each.entry for each in revealed)):
            assert isinstance(entry, Entry)
            logged = filled.vault.sql("SELECT hash, phase FROM audit_log WHERE seq = %s", entry.seq)
            assert [(bytes(hash_), phase) for hash_, phase in logged] == [(entry.hash, "intent")]
            assert (entry.checkpoint or "").startswith("vault-etl/audit/")
        (masked,) = opened.reveal(ids[:1], reason="x", fields=["ip"], masked=True)
        shown = masked.values["ip"]
        assert shown is not None
        assert shown.expose() not in (ADDRESSES[0].encode(), b"")


def test_a_record_that_fails_does_not_stop_the_others(filled: Filled) -> None:
    """The others are yielded, and the error comes after the last."""
    ((known,),) = filled.vault.sql("SELECT record_id FROM user_logins WHERE user_id = 'user-1'")
    with library(filled.vault, "reveal") as opened:
        records = opened.reveal([uuid.UUID(int=1), str(known)], reason="x")
        assert next(records).record_id == known
        with pytest.raises(errors.NotFoundError, match="of 2 records 1 do not exist"):
            next(records)


def test_tokens_on_the_record_are_the_same(filled: Filled) -> None:
    """With a reason, the role reveal gets the same tokens; the entry has the number of values, and nulls are none."""
    given = pa.chunked_array([[ADDRESSES[0], None], list(ADDRESSES[1:])]).dictionary_encode()
    with library(filled.vault, "reveal") as opened:
        tokens = opened.tokenize("ip", given, reason="list 7")
        assert filled.vault.sql(LAST.format(2)) == [
            ("tokens", "done", "list 7", "{ip}"),
            ("tokens", "allowed", "3 values: list 7", "{ip}"),
        ]
        with pytest.raises(errors.LoginDeniedError):
            opened.tokenize("ip", given)
        before = filled.vault.count("audit_log")
        with pytest.raises(errors.DataError, match="cannot hold 1 of these values: number 2"):
            opened.tokenize("ip", [ADDRESSES[0], "no address"], reason="x")
        assert filled.vault.count("audit_log") == before
    assert tokens.to_pylist() == [filled.tokens[0].as_py(), None, *filled.tokens.to_pylist()[1:]]


def test_a_login_of_another_role_is_refused(filled: Filled) -> None:
    """A role does what its commands do; the refusal of an access is an entry."""
    with library(filled.vault, "ingest") as opened:
        for act in (
            lambda: opened.find("ip", [ADDRESSES[0]], reason="x"),
            lambda: opened.reveal([uuid.UUID(int=1)], reason="x"),
            lambda: opened.tokenize("ip", [ADDRESSES[0]], reason="x"),
        ):
            with pytest.raises(errors.LoginDeniedError):
                act()
    with library(filled.vault, "reveal") as opened, pytest.raises(errors.LoginDeniedError):
        opened.ingest([row(1)], source="of a reader")


def test_a_closed_or_forked_vault_does_nothing(filled: Filled) -> None:
    """A call after the end, or in a child process, is an error, and not a second use of one connection."""
    with library(filled.vault, "ingest") as opened:
        assert len(opened.tokenize("ip", ADDRESSES)) == len(ADDRESSES)
        opened._process -= 1
        with pytest.raises(errors.UsageError, match="forked"):
            opened.tokenize("ip", ADDRESSES)
        opened._process += 1
    with pytest.raises(errors.UsageError, match="closed"):
        opened.tokenize("ip", ADDRESSES)
    until(lambda: not filled.vault.sql(SESSIONS))


def test_a_long_list_is_several_entries(filled: Filled) -> None:
    """Distinct values count, 65,536 an entry; the tokens come in the order of the values."""
    filled.vault.set_policy({"reveals_an_hour": 1_000, "tokens_an_hour": 100_000, "purposes": {}})
    many = [f"10.{n >> 16}.{n >> 8 & 255}.{n & 255}" for n in range(MAX_AMOUNT)]
    with library(filled.vault, "reveal") as opened:
        tokens = opened.tokenize("ip", [*many, ADDRESSES[1], *many], reason="list 8").to_pylist()
    assert tokens[MAX_AMOUNT] == filled.tokens[1].as_py()
    assert tokens[:MAX_AMOUNT] == tokens[MAX_AMOUNT + 1 :]
    assert len(set(tokens)) == MAX_AMOUNT + 1
    reasons = filled.vault.sql(
        "SELECT reason FROM audit_log WHERE reason LIKE '%list 8' AND phase = 'intent' ORDER BY seq"
    )
    assert [reason for (reason,) in reasons] == ["65536 values: list 8", "1 values: list 8"]


def test_threads_share_a_vault(filled: Filled) -> None:
    """Calls wait for each other, and each gets its own answer."""
    with library(filled.vault, "ingest") as opened, ThreadPoolExecutor(4) as pool:
        made = pool.map(lambda address: opened.tokenize("ip", [address]), ADDRESSES * 4)
        tokens = [token for each in made for token in each.to_pylist()]
    assert tokens == filled.tokens.to_pylist() * 4


def test_the_log_is_the_program_s(
    filled: Filled,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Notes go to the logger `vault_etl`. botocore logs the answers to the program's calls at DEBUG, and not ours."""
    monkeypatch.setattr(logs, "_form", None)  # as before any command of this process
    for name in ("vault_etl", "botocore"):
        caplog.set_level(logging.DEBUG, name)
    kms = filled.vault.emulator.client("kms")
    with library(filled.vault, "reveal") as opened:
        opened.tokenize("ip", [ADDRESSES[0]], reason="x")
        kms.list_keys(Limit=7)
    told = [(record.name, record.getMessage()) for record in caplog.records]
    assert [text for name, text in told if name == "vault_etl" and text.startswith("checkpoint ")]
    assert "Plaintext" not in "".join(text for _, text in told)
    bodies = [text for name, text in told if name == "botocore.parsers" and "body" in text]
    assert len(bodies) == 1
    assert "Truncated" in bodies[0]
    assert capfd.readouterr() == ("", "")


def test_the_import_brings_nothing_along() -> None:
    """Every command imports the package: its names are imported when they are used."""
    script = "import sys; before = {*sys.modules}; import vault_etl; print({*sys.modules} - before)"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout == "{'vault_etl'}\n"
