"""Clients of AWS: each is made once, and reads botocore's models once a process."""

from __future__ import annotations

import gzip
import io
import json
import uuid
from pathlib import Path
from typing import Any

import botocore.session
import pytest
from botocore.awsrequest import AWSPreparedRequest, AWSResponse
from botocore.compat import HTTPHeaders
from botocore.exceptions import DataNotFoundError
from botocore.loaders import Loader
from urllib3 import HTTPResponse

from vault_etl.platform.aws import AwsClients
from vault_etl.platform.aws_models import share_models


def test_a_client_is_made_once_for_each_config(monkeypatch: pytest.MonkeyPatch) -> None:
    """A receiver that does not retry takes a client of its own."""
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    clients = AwsClients()
    assert clients.kms() is clients.kms()
    assert clients.sqs_receiver(1) is clients.sqs_receiver(1)
    different = [
        clients.kms(),
        clients.sqs(),
        clients.sqs_receiver(1),
        clients.sqs_receiver(2),
        AwsClients().kms(),
    ]
    assert len({id(client) for client in different}) == len(different)


def test_calls_of_one_client_name_their_requests(monkeypatch: pytest.MonkeyPatch) -> None:
    """The request id is in the user agent of its own calls alone, and no request has a connection of its own."""
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "any")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "any")
    clients, one, other = AwsClients(), uuid.uuid4(), uuid.uuid4()
    agents: list[str] = []

    def answer(request: AWSPreparedRequest, **_: object) -> Any:  # noqa: ANN401 - ends the call
        agents.append(bytes(request.headers["User-Agent"]).decode())  # type: ignore[arg-type]
        body = HTTPResponse(io.BytesIO(b"{}"), preload_content=False)
        return AWSResponse(request.url, 200, HTTPHeaders(), body)

    clients.kms().meta.events.register("before-send.kms", answer)
    for client in (clients.kms(one), clients.kms(), clients.kms(other), clients.kms(one)):
        client.list_keys()
    plain = agents[1]
    assert plain.endswith(" vault-etl/0.1.0")
    assert agents == [f"{plain} request/{one}", plain, f"{plain} request/{other}", agents[0]]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder of models with a service that botocore does not have."""
    model = tmp_path / "odd" / "2026-01-01"
    model.mkdir(parents=True)
    (model / "service-2.json.gz").write_bytes(gzip.compress(b'{"b": 1, "a": 2}'))
    (tmp_path / "empty").mkdir()
    return tmp_path


def test_models_are_those_of_botocore(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """Our loader returns what botocore's does, also from AWS_DATA_PATH, and raises what it raises."""
    monkeypatch.setenv("AWS_DATA_PATH", str(folder))
    session = botocore.session.get_session()
    share_models(session)
    ours, stock = session.get_component("data_loader"), Loader([str(folder)])
    for service in ("kms", "rds", "s3", "secretsmanager", "sqs", "sso", "sts", "odd"):
        found = ours.load_service_model(service, "service-2")
        assert json.dumps(found) == json.dumps(stock.load_service_model(service, "service-2"))
    assert json.dumps(ours.load_data("endpoints")) == json.dumps(stock.load_data("endpoints"))
    with pytest.raises(DataNotFoundError):
        ours.load_service_model("empty", "service-2")
    assert ours.load_service_model("kms", "service-2") is ours.load_service_model(
        "kms", "service-2"
    )


def test_a_process_reads_models_once() -> None:
    """Two sessions have one loader."""
    loaders = set()
    for _ in range(2):
        session = botocore.session.get_session()
        share_models(session)
        loaders.add(session.get_component("data_loader"))
    assert len(loaders) == 1
