"""An AWS emulator that runs in the background: SQS, KMS, STS and IAM on one address of loopback."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from vault_etl.base.errors import UnavailableError
from vault_etl.local.processes import BackgroundProcess

REGION = "us-east-1"

_POLL_SECONDS = 0.05


class EmulatorName(StrEnum):
    """The emulators that there are."""

    MOTO = "moto"
    LOCALSTACK = "localstack"


@dataclass(frozen=True, slots=True)
class Emulator:
    """A running emulator. What it holds, keys included, lives in its memory and ends with it."""

    name: EmulatorName
    endpoint: str
    process: BackgroundProcess

    def is_running(self) -> bool:
        """Whether its process still runs."""
        return self.process.is_running()

    def stop(self) -> None:
        """End it, and everything it holds. Does nothing if it is gone."""
        self.process.stop()


def wait_until_ready(
    process: BackgroundProcess, is_ready: Callable[[], bool], *, seconds: float, log: Path
) -> None:
    """Return once `is_ready()` says so. Otherwise end the process and raise UnavailableError."""
    deadline = time.monotonic() + seconds
    try:
        while time.monotonic() < deadline and process.is_running():
            if is_ready():
                return
            time.sleep(_POLL_SECONDS)
    except BaseException:  # an interrupt too: nothing may be left behind
        process.stop()
        raise
    ended = not process.is_running()
    process.stop()
    what = "ended by itself" if ended else f"was not ready after {seconds:.0f} s"
    raise UnavailableError(f"the AWS emulator {what}", hint=f"see its log: {log}")
