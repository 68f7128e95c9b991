"""A canary in quarantine: it comes out where a body is shown, and nowhere on the way to a record."""

from __future__ import annotations

from collections.abc import Mapping

import psutil
import pytest

from tests.attacks.leaks.search import found
from tests.kit.dumps import dump
from tests.kit.events import event
from tests.kit.processes import finish, on_terminal, start
from tests.kit.proxy import Call, FaultProxy
from tests.kit.quarantined import FLIP, quarantine
from tests.kit.vault import Result, Vault
from tests.kit.waiting import until

ADDRESS = "203.0.113.213"
DEVICE = "canary-device-7351"
CANARIES = (ADDRESS, DEVICE)
RETRY = ("quarantine", "retry", "--all", "--verbose")
TRAP = """
    CREATE OR REPLACE FUNCTION odd() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {} END $$;
    CREATE OR REPLACE TRIGGER odd BEFORE INSERT ON user_logins FOR EACH ROW EXECUTE FUNCTION odd()
"""


@pytest.fixture
def planted(vault: Vault) -> tuple[Vault, list[str]]:
    """Bodies that pass, that fail, that the database refuses, that are no text, and one that is damaged."""
    ids = quarantine(
        vault,
        event(ip=ADDRESS, device_id=DEVICE).encode(),
        event(ip=f"{ADDRESS}:443", device_id=DEVICE).encode(),
        event(ip=ADDRESS, device_id=DEVICE, locale="XX").encode(),
        f"not json: {ADDRESS} {DEVICE}".encode(),
        b"\xff" + f"{ADDRESS} {DEVICE}".encode(),
        event(ip=ADDRESS, device_id=DEVICE).encode(),
    )
    vault.sql("ALTER TABLE user_logins ADD CONSTRAINT odd CHECK (locale <> 'XX')")
    vault.sql(FLIP, ids[5])
    return vault, ids


def test_no_retry_and_no_failed_access_shows_a_body(planted: tuple[Vault, list[str]]) -> None:
    """KMS away, the backend killed, a bug with a traceback, refused rows, a good run: none shows it."""
    vault, ids = planted
    show = ("quarantine", "show", ids[0], "--reason", "canary", "--verbose")
    seen = [
        vault.ok("reveal", "quarantine", "list", "--verbose"),
        vault.ok("reveal", "quarantine", "list", "--summary", "--verbose"),
        on_terminal(vault, "reveal", "quarantine", "list", "--verbose"),
        stopped(vault, 65, "reveal", *show[:2], ids[5], *show[3:]),
    ]
    for operation, role, command in (
        ("Decrypt", "reveal", show),
        ("Decrypt", "re-encrypt", (*RETRY, "--dry-run")),
        ("GenerateDataKey", "re-encrypt", (*RETRY, "--yes")),
    ):

        def up(call: Call, operation: str = operation) -> bool:
            return call.operation != operation

        with FaultProxy(vault.endpoint, up) as kms:
            extra = {"AWS_ENDPOINT_URL_KMS": kms.url}
            seen.append(stopped(vault, 69, role, *command, extra=extra))
    for body, code in (
        ("PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NEW;", 69),
        ("RAISE EXCEPTION 'row %', NEW;", 1),
    ):
        vault.sql(TRAP.format(body))
        seen.append(stopped(vault, code, "re-encrypt", *RETRY, "--yes"))
    vault.sql("DROP FUNCTION odd() CASCADE")
    seen.append(stopped(vault, 65, "re-encrypt", *RETRY, "--dry-run"))
    seen.append(on_terminal(vault, "re-encrypt", *RETRY, "--yes"))
    assert seen[-1].code == 65
    assert (vault.count("user_logins"), vault.count("quarantine")) == (1, 5)
    seen.append(vault.ok("audit", "audit", "list", "--verbose"))
    printed = "".join(result.stdout + result.stderr for result in seen)
    files = b"".join(path.read_bytes() for path in vault.home.rglob("*") if path.is_file())
    assert found(CANARIES, printed.encode()) == set()
    assert found(CANARIES, vault.server.log.read_bytes()) == set()
    assert found(CANARIES, dump(vault)) == set()
    assert found(CANARIES, files) == set()


def test_a_body_comes_out_where_it_is_shown(planted: tuple[Vault, list[str]]) -> None:
    """A body is on standard output, as text or base64, and nowhere else; others see an id in the arguments."""
    vault, ids = planted
    pids: list[int] = []
    arguments: list[str] = []

    def look(call: Call) -> bool:
        if call.operation == "Decrypt":
            until(lambda: pids)
            arguments.extend(psutil.Process(pids[0]).cmdline())
        return True

    for record_id in (ids[0], ids[4]):
        with FaultProxy(vault.endpoint, look) as proxy:
            asked = ("quarantine", "show", record_id, "--reason", "canary", "--verbose")
            process = start(
                vault, "reveal", *asked, extra={"AWS_ENDPOINT_URL_KMS": proxy.url}, forked=False
            )
            pids[:] = [process.pid]
            shown = finish(process)
            pids.clear()
        assert shown.code == 0
        assert {value for value, _ in found(CANARIES, shown.stdout.encode())} == set(CANARIES)
        assert found(CANARIES, shown.stderr.encode()) == set()
    assert ids[0] in arguments
    assert found(CANARIES, "\0".join(arguments).encode()) == set()


def stopped(
    vault: Vault, code: int, role: str, *args: str, extra: Mapping[str, str | None] | None = None
) -> Result:
    """A command that ends with `code`."""
    result = vault.run(role, *args, extra=extra)
    assert result.code == code, result.stderr
    return result
