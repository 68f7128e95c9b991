"""Checks of the server: version, pooler, TLS, what its log gets, and replication slots."""

from __future__ import annotations

import pytest

from tests.kit.fakes.identity import FakeIdentity
from vault_etl.doctor.diagnose import Verdict
from vault_etl.doctor.server import (
    MAX_HELD_BYTES,
    Server,
    Slot,
    Transport,
    logged_values,
    postgres_tls,
    server,
    slots,
)

AWAY = "db.internal"
HERE = [
    "127.0.0.1",
    "127.9.9.9",
    "::1",
    "localhost",
    "LOCALHOST",
    "localhost.",
    "",
    "/run/pg",
    "@pg",
]
QUIET = {
    "log_statement": "none",
    "log_min_duration_statement": "-1",
    "log_min_duration_sample": "-1",
    "log_transaction_sample_rate": "0",
    "log_parameter_max_length": "-1",
    "log_parameter_max_length_on_error": "0",
}


@pytest.mark.parametrize(
    ("version", "encoding", "ok"),
    [
        (159_999, "UTF8", False),
        (160_000, "UTF8", True),
        (180_001, "UTF8", True),
        (180_001, "SQL_ASCII", False),
        (180_001, "LATIN1", False),
    ],
)
def test_a_server_is_16_or_newer_and_utf8(version: int, encoding: str, ok: bool) -> None:
    """The verdict names the version or the encoding in every case."""
    verdict = server(Server(version, encoding, pooled=False, as_login=True))
    assert verdict.ok is ok
    assert bool(verdict.hint) is not ok
    assert encoding in verdict.detail or str(version // 10_000) in verdict.detail


def test_a_pooler_is_reported_and_another_login_is_a_fault() -> None:
    """A pooler is no fault; a pooler that connects under one login makes every caller the same login."""
    told = server(Server(160_000, "UTF8", pooled=True, as_login=True))
    wrong = server(Server(160_000, "UTF8", pooled=True, as_login=False))
    assert (told.ok, wrong.ok) == (True, False)
    assert "client_address" in told.detail
    assert "login" in wrong.detail


def tls(sslmode: str, *hosts: str, account: str = "111122223333") -> Verdict:
    """Check a connection with this `sslmode` to these hosts, as a caller of this AWS account."""
    caller = FakeIdentity(f"arn:aws:iam::{account}:user/x")
    return postgres_tls(Transport(sslmode, list(hosts)), lambda: caller)


@pytest.mark.parametrize(
    "sslmode", ["disable", "allow", "prefer", "require", "verify-ca", "verify-full"]
)
def test_a_server_elsewhere_needs_verify_full(sslmode: str) -> None:
    """Each weaker mode lets a machine in between read or answer; one remote host of many is enough."""
    for hosts in ([AWAY], ["192.0.2.1"], ["127.0.0.1", AWAY], ["localhost.evil.example"]):
        verdict = tls(sslmode, *hosts)
        assert verdict.ok is (sslmode == "verify-full"), hosts
        assert bool(verdict.hint) is not verdict.ok
        assert sslmode in verdict.detail


@pytest.mark.parametrize("host", HERE)
def test_a_server_on_this_machine_needs_no_tls(host: str) -> None:
    """Loopback addresses and Unix sockets are on this machine."""
    assert tls("disable", host).ok


def test_weak_tls_in_an_emulator_is_a_warning() -> None:
    """No key of an emulator guards a secret; the weak mode is reported nevertheless."""
    verdict = tls("prefer", AWAY, account="000000000000")
    assert verdict.ok
    assert verdict.detail.startswith("warning: sslmode=prefer to db.internal")


@pytest.mark.parametrize(
    ("changed", "left_out_by"),
    [
        ({"log_statement": "all"}, {"log_parameter_max_length": "0"}),
        ({"log_min_duration_statement": "0"}, {"log_parameter_max_length": "0"}),
        ({"log_min_duration_sample": "250"}, {"log_parameter_max_length": "0"}),
        ({"log_transaction_sample_rate": "0.1"}, {"log_parameter_max_length": "0"}),
        (
            {"auto_explain.log_min_duration": "100", "auto_explain.log_parameter_max_length": "-1"},
            {"auto_explain.log_parameter_max_length": "0"},
        ),
        (
            {"pgaudit.log": "read, write", "pgaudit.log_parameter": "on"},
            {"pgaudit.log_parameter": "off"},
        ),
        (
            {"log_parameter_max_length_on_error": "-1"},
            {"log_parameter_max_length_on_error": "0"},
        ),
    ],
)
def test_a_setting_that_logs_values_is_a_fault_until_values_are_left_out(
    changed: dict[str, str], left_out_by: dict[str, str]
) -> None:
    """The settings are of Postgres and of modules; the hint names the setting that leaves values out."""
    wrong = logged_values({**QUIET, **changed})
    assert not wrong.ok
    assert next(iter(changed)) in wrong.detail
    ((name, value),) = left_out_by.items()
    assert f"{name} = {value}" in str(wrong.hint)
    assert logged_values({**QUIET, **changed, **left_out_by}).ok


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"log_statement": "ddl"},
        {"log_statement": "mod"},
        {"auto_explain.log_min_duration": "-1", "auto_explain.log_parameter_max_length": "-1"},
        {"pgaudit.log": "none", "pgaudit.log_parameter": "on"},
    ],
)
def test_a_setting_that_logs_no_statement_is_no_fault(more: dict[str, str]) -> None:
    """The first case is PostgreSQL's default."""
    assert logged_values({**QUIET, **more}).ok


@pytest.mark.parametrize(
    ("found", "ok", "detail"),
    [
        ([], True, "there are none"),
        ([Slot("a", True, "extended", 3 * 2**30)], True, "a holds back 3,072 MiB of WAL"),
        (
            [Slot("a", False, "reserved", MAX_HELD_BYTES)],
            True,
            "a holds back 1,024 MiB of WAL, and is not connected",
        ),
        (
            [Slot("a", True, "reserved", 0), Slot("b", False, "extended", MAX_HELD_BYTES + 1)],
            False,
            "b holds back 1,024 MiB of WAL, and is not connected",
        ),
        (
            [Slot("a", False, "lost", 0)],
            False,
            "a holds back 0 MiB of WAL, and is not connected",
        ),
        ([Slot("a", True, "unreserved", 0)], False, "a holds back 0 MiB of WAL"),
    ],
)
def test_a_slot_without_its_consumer_may_not_hold_back_much_wal(
    found: list[Slot], ok: bool, detail: str
) -> None:
    """A connected consumer catches up by itself."""
    verdict = slots(found)
    assert (verdict.ok, verdict.detail) == (ok, detail)
    assert (verdict.hint is None) == ok
