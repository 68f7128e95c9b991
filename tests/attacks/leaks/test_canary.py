"""One canary on every path, the failing ones first of all: it comes out where it is revealed, and nowhere else."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.attacks.leaks.search import found
from tests.kit.dumps import dump
from tests.kit.events import event
from tests.kit.processes import on_terminal
from tests.kit.proxy import Call, FaultProxy
from tests.kit.vault import Result, Vault

ADDRESS = "203.0.113.213"
DEVICE = "canary-device-7351"
CANARIES = (ADDRESS, DEVICE)
QUIET_ROW = "CREATE TRIGGER odd BEFORE INSERT ON user_logins FOR EACH ROW EXECUTE FUNCTION odd()"

BODIES = (
    event(ip=ADDRESS, device_id=DEVICE),
    event(ip=ADDRESS, device_id=DEVICE, user_id=None),
    event(ip=f"{ADDRESS}:443", device_id=DEVICE),
    event(ip=ADDRESS, device_id=DEVICE, locale="XX"),
    event(note=f"{ADDRESS} {DEVICE}"),
    f"not json: {ADDRESS} {DEVICE}",
)
"""Stored, three quarantined for what they say, stored without its extra field, quarantined."""


@pytest.fixture
def planted(vault: Vault) -> Vault:
    """A vault with a good canary, a bad one, one that the database refuses, and one in an extra field."""
    vault.overrides.update({"VAULT_ETL_DRAIN_WAIT": "0", "VAULT_ETL_OUTAGE_WAIT": "1"})
    vault.sql("ALTER TABLE user_logins ADD CONSTRAINT odd CHECK (locale <> 'XX')")
    vault.send(BODIES)
    return vault


def test_every_way_to_fail_keeps_the_canary(planted: Vault) -> None:
    """KMS away, the backend killed, a bug with a traceback, a good run on a terminal: none shows it."""
    seen: list[Result] = []
    with FaultProxy(planted.endpoint, lambda call: call.operation != "GenerateDataKey") as kms:
        extra = {"AWS_ENDPOINT_URL_KMS": kms.url}
        seen.append(_stopped(planted, 69, extra=extra))
    for body, code in (
        ("PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NEW;", 69),
        ("RAISE EXCEPTION 'row %', NEW;", 1),
    ):
        _trap(planted, body)
        seen.append(_stopped(planted, code))
    planted.sql("DROP FUNCTION odd() CASCADE")
    _everything_is_visible(planted)
    seen.append(on_terminal(planted, "ingest", "ingest", "--verbose"))
    assert planted.count("user_logins") == 2
    assert planted.count("quarantine") == 4
    seen += _looks(planted)
    printed = "".join(result.stdout + result.stderr for result in seen)
    assert found(CANARIES, printed.encode()) == set()
    assert found(CANARIES, planted.server.log.read_bytes()) == set()
    assert found(CANARIES, dump(planted)) == set()
    assert found(CANARIES, _files(planted.home)) == set()


def test_a_value_comes_out_where_it_is_revealed(planted: Vault) -> None:
    """The canary is on standard output of the reveal, and nowhere else: the search above would have found it."""
    planted.ok("ingest", "ingest")
    shown = [
        planted.ok("reveal", "reveal", str(record_id), "--reason", "canary", "--verbose")
        for (record_id,) in planted.sql("SELECT record_id FROM user_logins")
    ]
    printed = "".join(result.stdout for result in shown)
    assert {value for value, _ in found(CANARIES, printed.encode())} == set(CANARIES)
    assert found(CANARIES, "".join(result.stderr for result in shown).encode()) == set()


def test_a_set_keeps_the_canary(planted: Vault, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Each command of the lake, with KMS and without: no output, no file and no table has it."""
    source = tmp_path_factory.mktemp("sources") / "rows.jsonl"
    source.write_text("\n".join(BODIES))
    table = source.with_name("table.csv")
    table.write_text(f"ip,note\n{ADDRESS},a\n{ADDRESS}:443,b\n")
    why = ("--reason", "canary", "--verbose")
    seal = ("ingest", "lake", "seal", str(source), "--to", "set", "--verbose")
    open_ = ("reveal", "lake", "open", "set", "--to", "opened", *why)
    rotate = ("re-encrypt", "lake", "rotate", "set", "--yes", *why)
    seen = []
    for missing, command, code in (
        ("GenerateDataKey", seal, 69),
        ("", seal, 0),
        ("Decrypt", open_, 69),
        ("", ("re-encrypt", "keys", "rotate", "--tokens", "--yes"), 0),
        ("Decrypt", rotate, 69),
        ("", rotate, 0),
        ("", ("ingest", "lake", "tokens", str(table), "-f", "ip", "--to", "tokens.csv"), 65),
        ("", ("ingest", "lake", "verify", "--verbose"), 0),
        ("", ("ingest", "lake", "list"), 0),
    ):
        with FaultProxy(planted.endpoint, functools.partial(_is_not, missing)) as kms:
            done = planted.run(*command, extra={"AWS_ENDPOINT_URL_KMS": kms.url})
        assert done.code == code, done.stderr
        seen.append(done)
    printed = "".join(result.stdout + result.stderr for result in seen)
    assert found(CANARIES, printed.encode()) == set()
    assert found(CANARIES, planted.server.log.read_bytes()) == set()
    assert found(CANARIES, dump(planted)) == set()
    assert found(CANARIES, _files(planted.home)) == set()


def _is_not(operation: str, call: Call) -> bool:
    return call.operation != operation


def _stopped(vault: Vault, code: int, *, extra: Mapping[str, str | None] | None = None) -> Result:
    """An ingest that ends with `code` and gives its messages back."""
    _everything_is_visible(vault)
    result = vault.run("ingest", "ingest", "--verbose", extra=extra)
    assert result.code == code, result.stderr
    return result


def _looks(vault: Vault) -> list[Result]:
    """Every command that shows a vault without a reveal, and a reveal that KMS cannot answer."""
    ((record_id,),) = vault.sql("SELECT max(record_id::text) FROM user_logins")
    with FaultProxy(vault.endpoint, lambda call: call.operation != "Decrypt") as kms:
        asked = ("reveal", record_id, "--reason", "canary", "--verbose")
        closed = vault.run("reveal", *asked, extra={"AWS_ENDPOINT_URL_KMS": kms.url})
    assert closed.code == 69
    return [
        closed,
        vault.ok("analyst", "duplicates", "--field", "ip", "--verbose"),
        vault.ok("audit", "audit", "list", "--verbose"),
        vault.ok("audit", "keys", "list", "--verbose"),
        on_terminal(vault, "re-encrypt", "keys", "rotate", "--yes", "--verbose"),
        on_terminal(vault, "re-encrypt", "keys", "rewrap", "--verbose"),
        vault.ok("rotate", "keys", "destroy", _retired(vault), "--yes", "--verbose"),
    ]


def _retired(vault: Vault) -> str:
    """The id of a data key that a rotation has left behind."""
    ((key_id,),) = vault.sql(
        "SELECT max(key_id)::text FROM data_keys WHERE purpose = 'data' AND state = 'decrypt_only'"
    )
    return str(key_id)


def _trap(vault: Vault, body: str) -> None:
    """Have the next row run into this."""
    vault.sql("DROP FUNCTION IF EXISTS odd() CASCADE")
    vault.sql(f"CREATE FUNCTION odd() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {body} END $$")
    vault.sql(QUIET_ROW)


def _everything_is_visible(vault: Vault) -> None:
    """Put the bodies on a new queue: what was given back would be seen after 5 to 30 seconds."""
    vault.renew_queue()
    vault.send(BODIES)


def _files(folder: Path) -> bytes:
    """Whatever the commands left in their home and working directory."""
    return b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())
