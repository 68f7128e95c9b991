"""A durable Postgres that may crash, a LocalStack, and a proxy before each service."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.endurance.chaos.site import Service, Site, prepared
from tests.kit.tcp_proxy import TcpProxy
from vault_etl.declaration.read import read_declaration
from vault_etl.local.emulator import Emulator
from vault_etl.local.postgres import EmbeddedPostgres


@pytest.fixture
def site(request: pytest.FixtureRequest, localstack: Emulator, tmp_path: Path) -> Iterator[Site]:
    """A vault with token keys and an empty queue. Its Postgres writes to disk what it acknowledges.

    The parameter is the text of the declaration. Without one the default holds.
    """
    path, settings = None, dict[str, str]()
    if text := getattr(request, "param", None):
        path = str(tmp_path / "vault-etl.schema.toml")
        Path(path).write_text(text, encoding="utf-8")
        settings = {"VAULT_ETL_SCHEMA_FILE": path}
    embedded = EmbeddedPostgres(tmp_path / "postgres")
    try:
        vault = prepared(embedded.start(), localstack.endpoint, tmp_path, settings)
        emulator = urlsplit(localstack.endpoint).port or 0
        ports = {
            Service.SQS: emulator,
            Service.KMS: emulator,
            Service.POSTGRES: vault.server.port,
        }
        with ExitStack() as proxies:
            before = {
                service: proxies.enter_context(TcpProxy(port)) for service, port in ports.items()
            }
            yield Site(
                vault, read_declaration(path), embedded, before, vault.emulator.client("sqs")
            )
    finally:
        embedded.destroy()
