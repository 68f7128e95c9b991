"""`ingest`, killed with SIGKILL at a call of AWS."""

from __future__ import annotations

import os
import signal
import threading
from dataclasses import dataclass, field

from tests.kit.processes import finish, start
from tests.kit.proxy import Call, FaultProxy
from tests.kit.vault import Result, Vault
from tests.kit.waiting import until

VISIBILITY_SECONDS = 4


ONE_BATCH = {"VAULT_ETL_BATCH_SIZE": "100", "VAULT_ETL_LINGER": "30"}


def run_killed(vault: Vault, endpoint: str, operation: str) -> Result:
    """Run ingest until it makes this call, which kills it."""
    killer = Killer(operation)
    with FaultProxy(vault.endpoint, killer) as proxy:
        extra = {endpoint: proxy.url, **ONE_BATCH}
        ingest = start(vault, "ingest", "ingest", extra=extra)
        killer.pid = ingest.pid
        result = finish(ingest)
    assert killer.struck == [operation]
    assert result.code == -signal.SIGKILL
    return result


@dataclass(slots=True)
class Killer:
    """Kills a process the moment it makes a call, which is then not passed on, nor is one beside it."""

    operation: str
    pid: int | None = None
    struck: list[str] = field(default_factory=list)
    one_at_a_time: threading.Lock = field(default_factory=threading.Lock)

    def __call__(self, call: Call) -> bool:
        """Judge a call."""
        if call.operation != self.operation:
            return True
        with self.one_at_a_time:
            if not self.struck:
                until(lambda: self.pid)
                assert self.pid is not None
                os.kill(self.pid, signal.SIGKILL)
                self.struck.append(call.operation)
        return False
