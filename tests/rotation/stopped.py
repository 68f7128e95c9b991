"""Ingests that are stopped with SIGSTOP after they made tokens, and before they take the fence."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

from tests.endurance.outages.faults import behind
from tests.kit.processes import start
from tests.kit.vault import Result, Vault
from tests.kit.waiting import until
from tests.rotation.gate import Gate
from tests.rotation.watch import SECONDS


class Stopped:
    """An ingest that is stopped until `goes_on`."""

    def __init__(self, process: subprocess.Popen[str], gate: Gate) -> None:
        self._process = process
        self._gate = gate

    def goes_on(self) -> None:
        """Send SIGCONT, and let its statement reach the server."""
        self._gate.open()
        self._process.send_signal(signal.SIGCONT)

    def ends(self) -> Result:
        """Wait for its end, if the ingest ends by itself; a worker that follows a queue is told to end."""
        stdout, stderr = self._process.communicate(timeout=SECONDS)
        return Result(self._process.returncode, stdout, stderr)

    def is_told_to_end(self) -> Result:
        """Send SIGTERM."""
        self._process.send_signal(signal.SIGTERM)
        return self.ends()


@contextmanager
def stopped(vault: Vault, *args: str) -> Iterator[Stopped]:
    """`vault-etl ingest ARGS`, stopped with the first tokens that it has made."""
    with Gate(vault.server.port) as gate:
        gate.shut()
        extra = {"VAULT_ETL_DATABASE_URL": behind(vault, gate)}
        process = start(vault, "ingest", "ingest", *args, extra=extra)
        try:
            until(lambda: gate.held > 0 or process.poll() is not None)
            assert process.poll() is None
            process.send_signal(signal.SIGSTOP)
            yield Stopped(process, gate)
        finally:
            process.kill()
            process.communicate()
