"""SqsQueue reports the part of a call that SQS did not do. No emulator answers so."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from tests.kit.aws_clients import SQS_CLIENTS, aws_clients
from tests.kit.proxy import Call, FaultProxy
from vault_etl.base.errors import UnavailableError
from vault_etl.ingest.sources.sqs import SqsQueue

HANDLES = [f"handle-{number}" for number in range(5)]
THEIRS = ["InternalError", "RequestThrottled", "ServiceUnavailable"]
OURS = [
    "AWS.SimpleQueueService.MessageNotInflight",
    "InvalidParameterValue",
    "MessageNotInflight",
    "ReceiptHandleIsInvalid",
]


def in_part(code: str, *, sender_fault: bool) -> Callable[[Call], bytes]:
    """Answer that all entries are done except the second and the fourth."""

    def answer(call: Call) -> bytes:
        entries = [entry["Id"] for entry in json.loads(call.body)["Entries"]]
        failed = [
            {"Id": entry, "Code": code, "SenderFault": sender_fault, "Message": "no"}
            for entry in (entries[1], entries[3])
        ]
        done = [{"Id": entries[number]} for number in (0, 2, 4)]
        return json.dumps({"Successful": done, "Failed": failed}).encode()

    return answer


@contextmanager
def in_part_queue(
    code: str, *, sender_fault: bool, client: str = "botocore"
) -> Iterator[tuple[SqsQueue, FaultProxy]]:
    """The adapter, connected to a proxy that answers so, and the proxy."""
    with (
        FaultProxy("", in_part(code, sender_fault=sender_fault)) as proxy,
        aws_clients(proxy.url) as clients,
    ):
        url = f"{proxy.url}/000000000000/queue"
        yield SqsQueue.of(clients, url, 1, lean=client == "lean"), proxy


@pytest.mark.parametrize("sender_fault", [True, False])
@pytest.mark.parametrize("code", OURS)
def test_a_handle_that_cannot_be_extended_any_more_is_stale(code: str, sender_fault: bool) -> None:
    """These handles hide no message, and another extension would be useless."""
    with in_part_queue(code, sender_fault=sender_fault) as (queue, proxy):
        stale = queue.extend(dict.fromkeys(HANDLES, 30))
    assert list(stale) == [HANDLES[1], HANDLES[3]]
    assert proxy.operations() == ["ChangeMessageVisibilityBatch"]


@pytest.mark.parametrize("sender_fault", [True, False])
@pytest.mark.parametrize("code", THEIRS)
def test_a_temporary_failure_of_an_extension_is_not_stale(code: str, sender_fault: bool) -> None:
    """The messages are still held, and still due: none may count as extended."""
    with (
        in_part_queue(code, sender_fault=sender_fault) as (queue, proxy),
        pytest.raises(UnavailableError, match="did not extend 2 of 5"),
    ):
        queue.extend(dict.fromkeys(HANDLES, 30))
    assert proxy.operations() == ["ChangeMessageVisibilityBatch"]


@pytest.mark.parametrize("client", SQS_CLIENTS)
@pytest.mark.parametrize("code", [*OURS, *THEIRS])
def test_every_failed_deletion_is_reported(code: str, client: str) -> None:
    """The message still exists, whatever the reason."""
    with in_part_queue(code, sender_fault=code in OURS, client=client) as (queue, proxy):
        left = queue.delete(HANDLES)
    assert list(left) == [HANDLES[1], HANDLES[3]]
    assert proxy.operations() == ["DeleteMessageBatch"]
