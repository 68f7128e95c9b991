"""Clients of AWS: each is made once."""

from __future__ import annotations

import uuid

import pytest

from vault_etl.platform.aws import AwsClients


def test_a_client_is_made_once_for_each_config(monkeypatch: pytest.MonkeyPatch) -> None:
    """A receiver that does not retry, or a request id in the user agent, takes a client of its own."""
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    clients, request_id = AwsClients(), uuid.uuid4()
    assert clients.kms() is clients.kms()
    assert clients.kms(request_id) is clients.kms(request_id)
    assert clients.sqs_receiver(1) is clients.sqs_receiver(1)
    different = [
        clients.kms(),
        clients.kms(request_id),
        clients.kms(uuid.uuid4()),
        clients.sqs(),
        clients.sqs_receiver(1),
        clients.sqs_receiver(2),
        AwsClients().kms(),
    ]
    assert len({id(client) for client in different}) == len(different)
    assert str(request_id) in vars(clients.kms(request_id).meta.config)["user_agent_extra"]
