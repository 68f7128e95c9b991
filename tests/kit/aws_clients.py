"""Clients of AWS that are made from settings, as those of a command are."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from vault_etl.local.emulator import REGION
from vault_etl.local.provision import Credentials
from vault_etl.platform.aws import AwsClients
from vault_etl.platform.calls import CallObserver

SQS_CLIENTS = ("botocore", "lean")
"""What may receive and delete: VAULT_ETL_SQS_CLIENT."""


ON_AN_EMULATOR = [pytest.param(name, marks=pytest.mark.emulator) for name in SQS_CLIENTS]
"""Parameters of a fixture that has other benches too."""


@contextmanager
def aws_clients(
    endpoint: str,
    credentials: Credentials = Credentials("AKIATEST", "secret"),  # noqa: B008 - it is frozen
    observer: CallObserver | None = None,
) -> Iterator[AwsClients]:
    """Return clients of this endpoint. The settings are in the environment while the block runs."""
    with pytest.MonkeyPatch.context() as settings:
        settings.setenv("AWS_ENDPOINT_URL", endpoint)
        settings.setenv("AWS_REGION", REGION)
        for name, value in credentials.environment.items():
            settings.setenv(name, value)
        yield AwsClients(observer)
