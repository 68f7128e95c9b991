"""Each benchmark runs, at a size that measures nothing."""

from __future__ import annotations

import pytest

from benchmarks.__main__ import ALWAYS, BENCHES
from benchmarks.programs import node_runs
from benchmarks.size import TINY

pytestmark = [pytest.mark.command, pytest.mark.timeout(900)]

PEERS = {
    "ingest": {"a message at a time", "boto3 threads", "vault-etl"}
    | ({"sqs-consumer"} if node_runs() else set()),
    "start": {"python -c pass"},
    "rotation": {"bare UPDATE of both ciphertexts", "bare UPDATE of both next tokens"},
}


@pytest.mark.parametrize("name", sorted(ALWAYS))
def test_a_bench_compares_its_subjects_with_their_peers(name: str) -> None:
    """Every metric has a value on both sides. The benches themselves count the rows of each run."""
    results = list(BENCHES[name](TINY))
    assert results
    assert all(result.bench.partition("/")[0] == name for result in results)
    assert all(result.peer_value > 0 for result in results if "CPU" not in result.metric)
    assert {result.peer for result in results} >= PEERS.get(name, set())
