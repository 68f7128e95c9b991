"""While a command runs, what other users of the machine see of it holds no personal value."""

from __future__ import annotations

import psutil
import pytest

from tests.attacks.leaks.search import found
from tests.kit.processes import finish, start
from tests.kit.proxy import Call, FaultProxy
from tests.kit.samples import sample_values
from tests.kit.vault import Vault, sample_events
from tests.kit.waiting import until


@pytest.mark.parametrize(
    ("role", "operation", "args"),
    [
        ("ingest", "DeleteMessageBatch", ("ingest",)),
        ("reveal", "Decrypt", ("reveal", "ID", "--reason", "a canary")),
    ],
)
def test_arguments_and_environment_hold_no_value(
    vault: Vault, role: str, operation: str, args: tuple[str, ...]
) -> None:
    """Neither its command line nor its environment shows a value, in the middle of the work."""
    vault.send(sample_events()[:20])
    if role == "reveal":
        vault.ok("ingest", "ingest")
    ((record_id,),) = vault.sql("SELECT coalesce(max(record_id::text), 'none') FROM user_logins")
    pids: list[int] = []
    seen: list[bytes] = []

    def look(call: Call) -> bool:
        if call.operation == operation:
            until(lambda: pids)
            process = psutil.Process(pids[0])
            environment = [f"{name}={value}" for name, value in process.environ().items()]
            seen.append("\0".join([*process.cmdline(), *environment]).encode())
        return True

    with FaultProxy(vault.endpoint, look) as proxy:
        command = (record_id if arg == "ID" else arg for arg in args)
        extra = {"AWS_ENDPOINT_URL": proxy.url}
        process = start(vault, role, *command, extra=extra, forked=False)
        pids.append(process.pid)
        assert finish(process).code == 0
    assert seen
    for text in seen:
        assert args[0].encode() in text
        assert b"VAULT_ETL_DATABASE_URL=" in text
        assert found(sample_values(), text) == set()
