"""An outage of KMS or a full disk half way through: the run reports it, and the next run finishes."""

from __future__ import annotations

import pytest

from tests.kit.processes import fails
from tests.kit.proxy import Answer, Call, FaultProxy, Verdict
from tests.kit.vault import Vault
from tests.rotation.contents import contents, of_events
from tests.rotation.events import MONTHS, RECORDS, dated_events
from tests.rotation.kills import rotate
from tests.rotation.rows import rows
from tests.rotation.watch import Watch

OPTIONS = {"data": (), "token": ("--tokens",)}

FULL = """
    CREATE FUNCTION vault_etl.full_up() RETURNS trigger LANGUAGE plpgsql AS
    $$BEGIN RAISE EXCEPTION USING ERRCODE = '53100'; END$$;
    CREATE TRIGGER full_up BEFORE UPDATE ON vault_etl.user_logins FOR EACH ROW
    WHEN (OLD.user_id LIKE 'new-1%%') EXECUTE FUNCTION vault_etl.full_up()
"""
"""The error of a full disk, for some of the later rows."""


@pytest.mark.parametrize(
    ("purpose", "fault", "code", "said"),
    [
        ("data", Answer(500), 69, "KMS"),
        ("token", "AccessDeniedException", 77, "KMS denies this (AccessDeniedException)"),
        ("token", False, 69, "KMS"),
    ],
)
def test_a_kms_that_fails_half_way(
    two: Vault, purpose: str, fault: Verdict, code: int, said: str
) -> None:
    """KMS opens the keys of the older records, and then no key, not even a new one."""
    later = int.from_bytes(rows(two)["new-0"]["ip"][1:5], "big")
    failing = []

    def judge(call: Call) -> Verdict:
        failing.extend([call] if f'"{later}"'.encode() in call.body else [])
        return fault if failing and call.operation == "Decrypt" else True

    with FaultProxy(two.endpoint, judge) as kms:
        result = rotate(two, *OPTIONS[purpose], extra={"AWS_ENDPOINT_URL_KMS": kms.url})
    fails(result, code, said)
    half_way(two, purpose)
    finishes(two, purpose)


@pytest.mark.parametrize("purpose", OPTIONS)
def test_a_disk_that_is_full_half_way(two: Vault, purpose: str) -> None:
    """The exit code is 69, and no cursor has passed a record that is not done."""
    two.sql(FULL)
    result = rotate(two, *OPTIONS[purpose])
    fails(result, 69, "53100")
    half_way(two, purpose)
    two.sql("DROP FUNCTION vault_etl.full_up CASCADE")
    finishes(two, purpose)


def half_way(vault: Vault, purpose: str) -> None:
    """Some records are done and others not, and the cursors agree."""
    with Watch(vault) as watch:
        assert 0 < watch.work_left(purpose) < 2 * RECORDS
        done, left = watch.ranges(purpose)
        assert done > 0
        assert left > 0
        assert watch.left_behind(purpose) == 0


def finishes(vault: Vault, purpose: str) -> None:
    """Another run does the rest at once, because all claims were freed."""
    old = {int.from_bytes(row[f][1:5], "big") for row in rows(vault).values() for f in ("ip",)}
    result = rotate(vault, *OPTIONS[purpose])
    assert result.code == 0, result.stderr
    left = "values_remaining" if purpose == "data" else "rows_remaining"
    assert result.json[left] == 0
    found = contents(vault)
    assert found.records == of_events(
        [
            *dated_events(RECORDS, MONTHS, prefix="old", back=MONTHS),
            *dated_events(RECORDS, MONTHS, prefix="new"),
        ]
    )
    assert found.wrong_tokens == ()
    with Watch(vault) as watch:
        assert watch.value("SELECT count(*) FROM key_rotations") == 0
    if purpose == "token":
        assert found.generations == {(2, 1): 2 * RECORDS}
    else:
        active = {k for (k,) in vault.sql("SELECT key_id FROM data_keys WHERE state = 'active'")}
        assert found.key_ids <= active
        assert old
