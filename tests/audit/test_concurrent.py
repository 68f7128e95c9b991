"""Fifty people at once, and one killed in the middle: one chain, and the unfinished request is reported."""

from __future__ import annotations

import os
import signal
import subprocess
import uuid
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest

from tests.audit.people import ADDRESSES, DEVICE
from tests.kit.declared import PERSONAL_FIELDS
from tests.kit.processes import finish, start
from tests.kit.proxy import Call, FaultProxy
from tests.kit.vault import Vault
from vault_etl import settings
from vault_etl.app import reveal
from vault_etl.app.parts import Parts
from vault_etl.audit.entries import Action
from vault_etl.audit.log import audit_request


def test_fifty_reveals_at_once_make_one_chain(
    site: Vault, record_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each reveal has its own connections: all succeed, and seq is gapless."""
    environment = site.environment("reveal")
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    loaded, _ = settings.load(environment)
    barrier = Barrier(50)
    before = site.count("audit_log")

    def make_reveal(_: int) -> int:
        parts = Parts(loaded)
        request = audit_request(
            parts.identity,
            Action.REVEAL,
            "fifty at once",
            record_id=uuid.UUID(record_id),
            fields=PERSONAL_FIELDS,
        )
        service = reveal.reveal(parts, request.request_id)
        barrier.wait()
        revealed = service(request)
        assert all(revealed.values.values())
        assert revealed.receipt.checkpoint is not None
        return revealed.receipt.seq

    with ThreadPoolExecutor(50) as pool:
        seqs = list(pool.map(make_reveal, range(50)))
    assert len(set(seqs)) == 50
    rows = [seq for (seq,) in site.sql("SELECT seq FROM audit_log ORDER BY seq")]
    assert rows == list(range(1, before + 101))
    proof = site.ok("audit", "audit", "verify").json
    assert (proof["ok"], proof["entries"], proof["unfinished"]) == (True, before + 100, [])


def test_a_reveal_killed_between_intent_and_outcome_is_unfinished(
    site: Vault, record_id: str
) -> None:
    """Its log has an intent without an outcome, which `verify` reports, and nothing was printed."""
    processes: list[subprocess.Popen[str]] = []

    def kill(call: Call) -> bool:
        if call.operation != "Decrypt":
            return True
        os.kill(processes[0].pid, signal.SIGKILL)
        return False

    with FaultProxy(site.endpoint, kill) as kms:
        extra = {"AWS_ENDPOINT_URL_KMS": kms.url}
        processes.append(start(site, "reveal", "reveal", record_id, "--reason", "x", extra=extra))
        result = finish(processes[0])
    assert (result.code, result.stdout, result.stderr) == (-signal.SIGKILL, "", "")
    ((seq, phase),) = site.sql("SELECT seq, phase FROM audit_log ORDER BY seq DESC LIMIT 1")
    assert phase == "intent"
    verified = site.ok("audit", "audit", "verify")
    assert verified.json["ok"]
    assert seq in verified.json["unfinished"]
    assert f"possibly revealed: intent {seq}" in verified.stderr
    assert not any(value in verified.stdout for value in (*ADDRESSES, DEVICE))
