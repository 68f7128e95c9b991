"""Made-up reports and states, and the metrics of a scrape."""

from __future__ import annotations

from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from tests.kit.declared import FIELDS, USER_LOGINS
from vault_etl.crypto.fields import FieldName
from vault_etl.event.rejection import Reason
from vault_etl.ingest.observer import BatchReport, IngestState
from vault_etl.ingest.queue import QueueDepth
from vault_etl.records.messages import Outcome

COUNTS = st.integers(0, 2**40)
SECONDS = st.floats(0, 1e9)
WORDS = st.none() | st.text(max_size=40)

REPORTS = st.builds(
    BatchReport,
    outcomes=st.dictionaries(st.sampled_from(Outcome), COUNTS),
    stored=st.dictionaries(st.just(USER_LOGINS), COUNTS),
    reasons=st.dictionaries(st.sampled_from(Reason), COUNTS),
    extra_fields=st.dictionaries(st.text(max_size=9), COUNTS),
    bytes=COUNTS,
    seconds=SECONDS,
    newest_age=SECONDS,
    oldest_age=SECONDS,
    max_receive_count=COUNTS,
    cause=WORDS,
)
STATES = st.builds(
    IngestState,
    ready=st.booleans(),
    unavailable=WORDS,
    stuck=WORDS,
    held_back=COUNTS,
    held=COUNTS,
    held_bytes=COUNTS,
    depth=st.none() | st.builds(QueueDepth, COUNTS, COUNTS, COUNTS),
    seals_left=st.dictionaries(st.sampled_from(FIELDS), COUNTS),
)


def report(
    stored: int = 0,
    duplicates: int = 0,
    retry: int = 0,
    *,
    reasons: dict[Reason, int] | None = None,
    cause: str | None = None,
    oldest_age: float = 2.0,
    max_receive_count: int = 1,
) -> BatchReport:
    """Return a batch of half a second, of 1,000 bytes."""
    reasons = reasons or {}
    return BatchReport(
        outcomes={
            Outcome.STORED: stored,
            Outcome.DUPLICATE: duplicates,
            Outcome.QUARANTINED: sum(reasons.values()),
            Outcome.RETRY: retry,
        },
        stored={USER_LOGINS: stored},
        reasons=reasons,
        extra_fields={"email": 1},
        bytes=1_000,
        seconds=0.5,
        newest_age=0.25,
        oldest_age=oldest_age,
        max_receive_count=max_receive_count,
        cause=cause,
    )


def state(
    *,
    ready: bool = True,
    unavailable: str | None = None,
    stuck: str | None = None,
    held: int = 0,
    depth: QueueDepth | None = None,
    seals_left: dict[FieldName, int] | None = None,
) -> IngestState:
    """Return a state with 10 bytes for each held message."""
    return IngestState(
        ready=ready,
        unavailable=unavailable,
        stuck=stuck,
        receivers=4,
        deleters=2,
        held_back=0,
        held=held,
        held_bytes=10 * held,
        depth=depth,
        seals_left=seals_left or {},
    )


Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def samples(body: bytes) -> Samples:
    """Return the samples of an exposition: from names and sorted labels to values."""
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(body.decode())
        for sample in family.samples
    }


def value(found: Samples, name: str, **labels: str) -> float | None:
    """Return one sample of ours; None if it does not exist."""
    return found.get((f"vault_etl_{name}", tuple(sorted(labels.items()))))
