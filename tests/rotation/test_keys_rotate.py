"""`keys rotate`, from the command's function down to the fakes."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterable, Sequence
from typing import Any, cast

import pytest

from tests.kit.declared import FIELDS, IP
from tests.kit.fakes.identity import FakeIdentity
from tests.kit.fakes.vault import FakeVault
from tests.rotation.rotation_world import filled_vault, seen_by
from vault_etl.app import audit, rotation
from vault_etl.app.parts import Parts
from vault_etl.audit.entries import AuditRequest
from vault_etl.base.errors import DataError, UnavailableError, UsageError
from vault_etl.cli import keys_rotate
from vault_etl.cli.keys_rotate_runs import RotationOptions, reencrypt
from vault_etl.crypto.fields import FieldName
from vault_etl.platform.clock import Progress
from vault_etl.rotation.data_keys import Rotation, RotationPlan, plan_rotation


@pytest.fixture
def vault(monkeypatch: pytest.MonkeyPatch) -> FakeVault:
    """Seven records and a quarantined body, behind the functions that the command calls."""
    vault = filled_vault(monkeypatch)

    def check_role(
        _parts: object, *_roles: str, requests: Callable[[], Iterable[AuditRequest]] = tuple
    ) -> None:
        requests()

    def plan_data_keys(_parts: object, fields: Sequence[FieldName], *, lazy: bool) -> RotationPlan:
        return plan_rotation(vault.keys, vault.rotations, fields, lazy=lazy)

    def data_rotation(
        _parts: object, _bar: Progress, _request_id: uuid.UUID, rate: float | None
    ) -> Rotation:
        return vault.rotation(rate=rate)

    monkeypatch.setattr(audit, "check_role", check_role)
    monkeypatch.setattr(rotation, "plan_data_keys", plan_data_keys)
    monkeypatch.setattr(rotation, "data_rotation", data_rotation)
    return vault


class FakeParts:
    """The one part that the command itself reads."""

    identity = FakeIdentity()


def rotate(*fields: FieldName, dry_run: bool = False, quiet: bool = True) -> None:
    """Run the command as `keys rotate --yes --output json` does."""
    options = RotationOptions(
        fields=fields or FIELDS,
        if_due=False,
        rate=None,
        dry_run=dry_run,
        yes=True,
        output=None,
        quiet=quiet,
    )
    reencrypt(cast("Parts", FakeParts()), options)


def test_values_that_do_not_open_set_the_exit_code(
    vault: FakeVault, capsys: pytest.CaptureFixture[str]
) -> None:
    """The exit code is 65, after a report that all other values are done; the error names the records."""
    damaged = sorted(vault.database.records)[4]
    vault.database.records[damaged].ciphertexts[IP] = b"\x01" + bytes(60)
    with pytest.raises(DataError, match=f"1 values do not open.*{damaged}") as caught:
        rotate()
    assert caught.value.exit_code == 65
    report = json.loads(capsys.readouterr().out)
    assert (report["values_reencrypted"], report["values_remaining"]) == (14, 1)


def test_a_continued_rotation_has_an_entry_that_names_its_fields(
    vault: FakeVault, capsys: pytest.CaptureFixture[str]
) -> None:
    """The log names the fields that were opened, whatever fields the caller asked for."""

    def stopping(name: str, call: Callable[[], Any]) -> object:
        if name == "remaining":
            raise UnavailableError("away")
        return call()

    with pytest.raises(UnavailableError):
        seen_by(vault, stopping).rotate()
    rotate(IP, quiet=False)
    assert vault.database.audit[-1].fields == ("device_id", "ip", "quarantine")
    assert vault.database.audit[-1].decision == "done"
    said = capsys.readouterr()
    assert json.loads(said.out)["retired"] == []
    assert "the rest of a rotation of ip, device_id, quarantine" in said.err


def test_a_dry_run_writes_nothing(vault: FakeVault, capsys: pytest.CaptureFixture[str]) -> None:
    """A dry run writes no key, no row and no entry."""
    before = (dict(vault.database.keys), vault.database.ciphertexts(), list(vault.database.audit))
    rotate(dry_run=True)
    assert before == (
        dict(vault.database.keys),
        vault.database.ciphertexts(),
        vault.database.audit,
    )
    assert json.loads(capsys.readouterr().out)["values_remaining"] == 15


@pytest.mark.parametrize(
    "options",
    [
        {"abort": True},
        {"leave_out": [uuid.UUID(int=1)]},
        {"wait": 5.0},
        {"tokens": True, "field": [IP]},
        {"tokens": True, "lazy": True},
        {"lazy": True, "rate": 5.0},
        {"tokens": True, "abort": True, "leave_out": [uuid.UUID(int=1)]},
    ],
    ids=str,
)
def test_options_that_contradict_each_other_are_refused(options: dict[str, Any]) -> None:
    """The refusal comes before any query."""
    with pytest.raises(UsageError):
        keys_rotate.rotate(**options)
