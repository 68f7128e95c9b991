"""No public name opens a value without a committed entry, and private modules get no ciphertext without one."""

from __future__ import annotations

import dataclasses
import datetime as dt
import inspect
import os
import pickle
import signal
import traceback
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import ModuleType
from typing import Final

import pytest

import vault_etl
from tests.kit.holders import ADDRESS
from tests.kit.proxy import Call, FaultProxy
from tests.kit.vault import Vault
from tests.library.opened import library
from vault_etl import Pii, errors
from vault_etl.app import reveal
from vault_etl.app.parts import Parts
from vault_etl.audit.entries import Action, AuditReceipt, AuditRequest, mint_receipt
from vault_etl.audit.opening import Opener
from vault_etl.audit.postgres import PostgresAuditLog
from vault_etl.crypto.fields import FieldName
from vault_etl.keys.ring import KeyRing
from vault_etl.reveal.postgres import PostgresDisclosedValues

OPENS: Final[Mapping[str, Callable[[vault_etl.Vault, uuid.UUID], object]]] = {
    "tokenize": lambda opened, _: opened.tokenize("ip", [ADDRESS], reason="x").to_pylist(),
    "find": lambda opened, _: opened.find("ip", [ADDRESS], reason="x"),
    "reveal": lambda opened, record_id: list(opened.reveal([record_id], reason="x")),
}
"""The calls that open a value, confirm one or make its token for a reader: all need an entry."""

OPENS_NOTHING: Final = {"close", "from_settings", "ingest", "seal"}

CLOSED: Final = {
    "intent": "phase <> 'intent'",
    "outcome": "phase <> 'outcome'",
}
LAST: Final = "SELECT phase, decision, action FROM audit_log WHERE action <> 'policy set' ORDER BY seq DESC LIMIT {}"
NOT_THIS: Final = {"reveals_an_hour": 0, "tokens_an_hour": 0, "purposes": {}}
ANYTHING: Final = {"reveals_an_hour": 100_000, "tokens_an_hour": 100_000, "purposes": {}}

calls = pytest.mark.parametrize("call", OPENS)


@pytest.fixture
def record_id(held: Vault) -> uuid.UUID:
    """A record that holds the address."""
    ((found,),) = held.sql("SELECT record_id FROM user_logins WHERE user_id = 'ann'")
    assert isinstance(found, uuid.UUID)
    return found


@contextmanager
def closed(vault: Vault, condition: str) -> Iterator[None]:
    """Let the log take no entry but those of a condition."""
    vault.sql(f"ALTER TABLE audit_log ADD CONSTRAINT no CHECK ({condition}) NOT VALID")
    try:
        yield
    finally:
        vault.sql("ALTER TABLE audit_log DROP CONSTRAINT no")


def refused(
    vault: Vault, call: str, record_id: uuid.UUID, kms: FaultProxy, error: type[Exception]
) -> None:
    """Call, and check that the error is all there is, and that no frame of it has the value of the record."""
    with (
        library(vault, "reveal", AWS_ENDPOINT_URL_KMS=kms.url) as opened,
        pytest.raises(error) as caught,
    ):
        OPENS[call](opened, record_id)
    if call == "reveal":  # the other calls are given the value
        told = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
        assert ADDRESS not in "".join(told.format())


def test_the_calls_of_a_vault_are_known() -> None:
    """A new public call is tried here, or is said to open nothing."""
    public = {name for name in dir(vault_etl.Vault) if not name.startswith("_")}
    assert public == OPENS.keys() | OPENS_NOTHING


@calls
def test_a_call_has_its_entry(held: Vault, record_id: uuid.UUID, call: str) -> None:
    """What is returned has an intent and an outcome in the log."""
    with library(held, "reveal") as opened:
        assert OPENS[call](opened, record_id)
    action = "tokens" if call == "tokenize" else call
    assert held.sql(LAST.format(2)) == [("outcome", "done", action), ("intent", "allowed", action)]


@calls
@pytest.mark.parametrize("phase", CLOSED)
def test_without_an_entry_there_is_no_value(
    held: Vault, record_id: uuid.UUID, call: str, phase: str
) -> None:
    """An intent that is not committed asks no KMS; without its outcome nothing is returned."""
    with closed(held, CLOSED[phase]), FaultProxy(held.endpoint) as kms:
        refused(held, call, record_id, kms, errors.AuditError)
    assert ("Decrypt" in kms.operations()) is (phase == "outcome")


@calls
def test_without_a_signature_there_is_no_value(
    held: Vault, record_id: uuid.UUID, call: str
) -> None:
    """The head of the log is signed before anything is returned."""
    with FaultProxy(
        held.endpoint, lambda asked: asked.operation != "Sign" or "AccessDeniedException"
    ) as kms:
        refused(held, call, record_id, kms, errors.AuditError)


@calls
def test_a_denial_is_on_the_record(held: Vault, record_id: uuid.UUID, call: str) -> None:
    """The policy has the last word, and KMS is not asked for a key."""
    held.set_policy(NOT_THIS)
    try:
        with FaultProxy(held.endpoint) as kms:
            refused(held, call, record_id, kms, errors.PolicyDeniedError)
    finally:
        held.set_policy(ANYTHING)
    assert "Decrypt" not in kms.operations()
    assert held.sql(LAST.format(1))[0][:2] == ("intent", "denied")


def test_a_reveal_that_nobody_iterates_is_no_access(held: Vault, record_id: uuid.UUID) -> None:
    """The intent is written when the loop comes to a record, and one that is left early accesses no other."""
    ids = [each for (each,) in held.sql("SELECT record_id FROM user_logins")]
    before = held.count("audit_log")
    with library(held, "reveal") as opened:
        opened.reveal(ids, reason="x")
        assert held.count("audit_log") == before
        next(opened.reveal([record_id, *ids], reason="x"))
    assert held.count("audit_log") == before + 2


def test_an_interrupted_call_gives_nothing(held: Vault, record_id: uuid.UUID) -> None:
    """Ctrl-C while KMS is asked: the outcome says so, and the vault can be used further."""
    interrupted: list[Call] = []

    def interrupt(call: Call) -> bool:
        if call.operation == "Decrypt" and not interrupted:
            interrupted.append(call)
            os.kill(os.getpid(), signal.SIGINT)
        return True

    with (
        FaultProxy(held.endpoint, interrupt) as kms,
        library(held, "reveal", AWS_ENDPOINT_URL_KMS=kms.url) as opened,
    ):
        with pytest.raises(KeyboardInterrupt):
            OPENS["reveal"](opened, record_id)
        assert held.sql(LAST.format(1)) == [("outcome", "failed", "reveal")]
        assert OPENS["reveal"](opened, record_id)


def test_results_hold_nothing_that_opens(held: Vault, record_id: uuid.UUID) -> None:
    """No public attribute of a result leads to a receipt, a key, or a part of the vault."""
    with library(held, "reveal") as opened:
        results = [OPENS[call](opened, record_id) for call in OPENS]
        seen = list(reached([*results, opened]))
    kinds = {type(each) for each in seen}
    assert not kinds & {AuditReceipt, Opener, KeyRing, Parts, PostgresAuditLog}
    assert {each for each in kinds if each.__module__.startswith("vault_etl")} <= {
        *(getattr(vault_etl, name) for name in vault_etl.__all__ if name[0].isupper()),
    }


def test_public_modules_have_the_names_of_the_library_alone() -> None:
    """`__all__` resolves; the errors are the only module among the names."""
    public = {name: getattr(vault_etl, name) for name in vault_etl.__all__}
    assert {name for name, each in public.items() if isinstance(each, ModuleType)} == {"errors"}
    assert {type(getattr(errors, name)) for name in errors.__all__} == {type}
    assert set(dir(vault_etl)) >= set(vault_etl.__all__)
    with pytest.raises(AttributeError):
        vault_etl.mint_receipt  # noqa: B018


def test_a_value_shows_itself_to_nobody_but_its_reader(held: Vault, record_id: uuid.UUID) -> None:
    """It does not print, compare, pickle or copy; `expose()` gives the bytes."""
    with library(held, "reveal") as opened:
        (record,) = opened.reveal([record_id], reason="x", fields=["ip"])
    value = record.values["ip"]
    assert isinstance(value, Pii)
    assert value.expose().decode() == ADDRESS
    for text in (
        repr(record),
        str(value),
        f"{value}",
        f"{value:>20}",
        repr(dataclasses.fields(record)),
    ):
        assert ADDRESS not in text
    for act in (lambda: value == value, lambda: hash(value), lambda: pickle.dumps(record)):  # noqa: PLR0124
        with pytest.raises(TypeError):
            act()


def test_private_modules_get_no_ciphertext_without_an_entry(
    held: Vault, record_id: uuid.UUID
) -> None:
    """A reader who imports everything, and forges receipts, gets what Postgres gives: nothing but its own entries'."""
    asked = AuditRequest(
        request_id=uuid.uuid4(),
        action=Action.REVEAL,
        actor="a",
        host="h",
        reason="x",
        record_id=record_id,
        fields=(FieldName("ip"),),
    )
    ((newest,),) = held.sql("SELECT max(seq) FROM audit_log")
    with library(held, "reveal") as opened:
        parts = opened._parts
        with pytest.raises(TypeError):
            AuditReceipt(object(), asked, 1, b"", "l", dt.datetime.now(dt.UTC))
        for seq in (1, newest, newest + 1):
            forged = mint_receipt(asked, seq, b"", "test_reveal", dt.datetime.now(dt.UTC))
            with pytest.raises(errors.DeniedError):
                PostgresDisclosedValues(parts.database).disclose(forged)
        for columns in ("ip_ciphertext", "masked_ip", "user_id"):
            with pytest.raises(errors.DeniedError), parts.database.transaction() as cursor:
                cursor.execute(f"SELECT {columns} FROM vault_etl.user_logins")  # noqa: S608
        # What its own entry gives, once, it may open.
        revealed = reveal.reveal(parts, asked.request_id)(asked)
        with pytest.raises(errors.DeniedError):
            PostgresDisclosedValues(parts.database).disclose(revealed.receipt)

    assert held.sql(LAST.format(2))[1][:2] == ("intent", "allowed")


def reached(roots: Sequence[object]) -> Iterator[object]:
    """Yield what public attributes, items and fields lead to."""
    left, seen = list(roots), set[int]()
    while left:
        one = left.pop()
        if id(one) in seen or isinstance(one, type | ModuleType) or inspect.isroutine(one):
            continue
        seen.add(id(one))
        yield one
        if isinstance(one, Mapping):
            left += [*one.keys(), *one.values()]
        elif isinstance(one, list | tuple | set | frozenset):
            left += one
        elif type(one).__module__.startswith("vault_etl"):
            names = [name for name in dir(one) if not name.startswith("_")]
            left += [getattr(one, name) for name in names]
