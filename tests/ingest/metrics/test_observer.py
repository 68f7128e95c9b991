"""The metrics of one process: a scrape finds the reported values."""

from __future__ import annotations

import datetime as dt
import string
import threading

from hypothesis import example, given
from hypothesis import strategies as st

from tests.ingest.metrics.reports import report, samples, state, value
from tests.kit.declared import IP, USER_LOGINS
from vault_etl import __version__
from vault_etl.crypto.fields import KeyPurpose
from vault_etl.event.rejection import Reason
from vault_etl.ingest.metrics.prometheus import MAX_CODES, OTHER, BoundedCodes, PrometheusMetrics
from vault_etl.ingest.observer import Movement
from vault_etl.ingest.queue import QueueDepth

CANARY = "203.0.113.77"


def test_counts_add_up() -> None:
    """Every movement and outcome has its counter, and batches add to it."""
    metrics = PrometheusMetrics([USER_LOGINS])
    metrics.moved(Movement.RECEIVED, 10)
    metrics.moved(Movement.RECEIVED, 7)
    metrics.moved(Movement.DELETED, 12)
    metrics.moved(Movement.GIVEN_BACK, 5)
    metrics.batch(report(stored=8, duplicates=2))
    metrics.batch(report(stored=1, reasons={Reason.NOT_JSON: 3}, retry=2, cause="unavailable"))
    found = samples(metrics.exposition("")[0])
    for name, expected in {
        "messages_received_total": 17,
        "messages_deleted_total": 12,
        "messages_given_back_total": 5,
        "messages_duplicate_total": 2,
        "messages_retried_total": 2,
        "messages_already_quarantined_total": 0,
        "extra_fields_total": 2,
        "batch_messages_count": 2,
        "batch_messages_sum": 16,
        "batch_bytes_sum": 2_000,
        "batch_duration_seconds_sum": 1.0,
        "newest_message_age_seconds": 0.25,
        "oldest_message_age_seconds": 2.0,
    }.items():
        assert value(found, name) == expected, name
    assert value(found, "messages_stored_total", event="user_logins") == 9
    assert value(found, "messages_quarantined_total", reason="not_json") == 3
    assert value(found, "messages_quarantined_total", reason="not_utf8") == 0
    assert value(found, "batches_retried_total", cause="unavailable") == 1
    assert value(found, "batch_duration_seconds_bucket", le="0.25") == 0
    assert value(found, "batch_duration_seconds_bucket", le="0.5") == 2


def test_metrics_show_the_last_state() -> None:
    """Readiness, held messages, the queue's counts and the leases are the last reported ones."""
    metrics = PrometheusMetrics([USER_LOGINS])
    metrics.state(state(held=9))
    metrics.state(state(ready=False, held=4, depth=QueueDepth(30, 20, 10), seals_left={IP: 7}))
    found = samples(metrics.exposition("")[0])
    assert value(found, "ready") == 0
    assert value(found, "held_messages") == 4
    assert value(found, "held_bytes") == 40
    assert value(found, "queue_messages", state="visible") == 30
    assert value(found, "queue_messages", state="in_flight") == 20
    assert value(found, "queue_messages", state="delayed") == 10
    assert value(found, "lease_seals_left", field="ip") == 7
    assert value(found, "lease_seals_left", field="device_id") is None


def test_unknown_values_are_not_exposed() -> None:
    """Before the queue's counts are read, and before a lease, the gauges do not exist: they are not zero."""
    metrics = PrometheusMetrics([USER_LOGINS])
    metrics.state(state())
    names = {name for name, _ in samples(metrics.exposition("")[0])}
    assert not names & {"vault_etl_queue_messages", "vault_etl_lease_seals_left"}


def test_the_ages_of_keys_show_beside_their_limits() -> None:
    """Ages are in seconds for each purpose; without a key the age is 0, and so is a missing limit."""
    metrics = PrometheusMetrics([USER_LOGINS])
    metrics.key_limit(KeyPurpose.DATA, dt.timedelta(days=90))
    metrics.key_limit(KeyPurpose.TOKEN, dt.timedelta())
    found = samples(metrics.exposition("")[0])
    assert value(found, "key_max_age_seconds", purpose="data") == 90 * 86_400
    assert value(found, "key_max_age_seconds", purpose="token") == 0
    assert value(found, "key_age_seconds", purpose="data") is None
    for age, seconds in ((dt.timedelta(hours=2), 7_200), (None, 0)):
        metrics.key_age(KeyPurpose.DATA, age)
        found = samples(metrics.exposition("")[0])
        assert value(found, "key_age_seconds", purpose="data") == seconds
    assert value(found, "key_age_seconds", purpose="token") is None


def test_ages_are_zero_without_waiting_messages() -> None:
    """The age of the last batch stays only while messages wait."""
    metrics = PrometheusMetrics([USER_LOGINS])
    metrics.batch(report(stored=1, oldest_age=500))
    for waits in (state(), state(held=1), state(depth=QueueDepth(1, 0, 0))):
        metrics.state(waits)
        assert value(samples(metrics.exposition("")[0]), "oldest_message_age_seconds") == 500
    metrics.state(state(depth=QueueDepth(0, 0, 0)))
    assert value(samples(metrics.exposition("")[0]), "oldest_message_age_seconds") == 0


def test_calls_are_timed_and_their_errors_counted_by_code() -> None:
    """A call has a duration; a failed try has a code."""
    metrics = PrometheusMetrics([USER_LOGINS])
    metrics.called("kms", "Decrypt", 0.2)
    metrics.failed("kms", "Decrypt", "ThrottlingException")
    found = samples(metrics.exposition("")[0])
    labels = {"service": "kms", "operation": "Decrypt"}
    assert value(found, "call_duration_seconds_sum", **labels) == 0.2
    assert value(found, "call_errors_total", **labels, code="ThrottlingException") == 1


@given(st.text() | st.from_regex(r"[0-9.]+|\w+:\w+", fullmatch=True))
@example(CANARY)
@example("572-03-1848")
@example(f"Failing row contains ({CANARY})")
def test_a_malformed_code_is_not_exposed(code: str) -> None:
    """A text that is not a code of AWS, Postgres or Python is `other`."""
    bounded = BoundedCodes().bound(code)
    letters = set(string.ascii_letters + ".")
    assert bounded in {code, OTHER}
    assert bounded == OTHER or set(code) <= letters or len(code) in {2, 3}


def test_codes_are_bounded() -> None:
    """A server that invents codes makes a hundred time series a call at most."""
    codes = BoundedCodes()
    letters = string.ascii_letters
    told = {codes.bound(f"Code{a}{b}") for a in letters for b in letters}
    assert len(told) == MAX_CODES + 1
    assert OTHER in told
    assert codes.bound("Codeaa") == "Codeaa"


def test_threads_lose_no_count() -> None:
    """Eight threads that count at once lose nothing."""
    metrics = PrometheusMetrics([USER_LOGINS])

    def count() -> None:
        for _ in range(500):
            metrics.batch(report(stored=1))
            metrics.moved(Movement.RECEIVED, 1)

    threads = [threading.Thread(target=count) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = samples(metrics.exposition("")[0])
    assert value(found, "messages_stored_total", event="user_logins") == 4_000
    assert value(found, "messages_received_total") == 4_000
    assert value(found, "batch_messages_count") == 4_000


def test_the_version_is_a_label() -> None:
    """The gauge of the build is 1, with the version."""
    build = [
        dict(labels)
        for name, labels in samples(PrometheusMetrics([USER_LOGINS]).exposition("")[0])
        if name == "vault_etl_build_info"
    ]
    assert [labels["version"] for labels in build] == [__version__]
