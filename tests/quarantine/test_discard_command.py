"""`quarantine discard`: in batches, on the record, for the role erase; filters of `list`, and `retry --reason-code`."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kit.events import event
from tests.kit.processes import fails, on_terminal
from tests.kit.quarantined import quarantine
from tests.kit.samples import UNKNOWN
from tests.kit.vault import ROLES, Vault
from tests.kit.vaults import filled_vault
from vault_etl.event.rejection import Reason

DISCARD = ("quarantine", "discard")
WHY = ("--reason", "a test asks", "--yes")
COPIES = (
    "INSERT INTO quarantine (record_id, reason_code, path, body_ciphertext, quarantined_at)"
    " SELECT gen_random_uuid(), %s, '$', body_ciphertext, now() - make_interval(days => %s)"
    " FROM generate_series(1, %s), (SELECT body_ciphertext FROM quarantine LIMIT 1) AS one"
)
LATE = """
import datetime

real = datetime.datetime

class Late(real):
    def now(tz=None):
        return real.now(tz) - datetime.timedelta(days=1)

datetime.datetime = Late
"""


@pytest.fixture(scope="module")
def vault(keyed: Vault, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Vault]:
    """Yield one vault for all tests; each test leaves quarantine as `stocked` finds it."""
    with filled_vault(keyed, tmp_path_factory.mktemp("discard"), [event()]) as filled:
        yield filled


@pytest.fixture
def stocked(vault: Vault) -> Vault:
    """1,500 messages of 40 days ago, three of today, of two reasons."""
    vault.sql("DELETE FROM quarantine")
    quarantine(vault, b"[]", reason=Reason.NOT_AN_OBJECT)
    vault.sql("SET session_replication_role = replica; " + COPIES, "not_json", 40, 1_500)
    quarantine(vault, b"{", b"{{", reason=Reason.NOT_JSON)
    return vault


def entries(vault: Vault) -> list[tuple[str, str, str, str | None]]:
    """Phase, login, reason and ticket of each entry about a discard, in their order."""
    found = vault.sql(
        "SELECT phase, login, reason, ticket FROM audit_log WHERE action = 'quarantine discard' ORDER BY seq"
    )
    return [(phase, login, reason, ticket) for phase, login, reason, ticket in found]


def test_each_batch_is_on_the_record(stocked: Vault) -> None:
    """Two batches of a reason: two pairs of entries, the outcome with the count; the head is signed."""
    before = len(entries(stocked))
    asked = (*DISCARD, "--reason-code", "not_json", "--until", "2100-01-01", "--ticket", "OPS-1")
    counted = stocked.ok("erase", *asked, "--dry-run").json
    assert (counted["messages"], stocked.count("quarantine")) == (1_502, 1_503)
    assert len(entries(stocked)) == before
    done = stocked.ok("erase", *asked, *WHY)
    assert (done.json["messages"], stocked.count("quarantine")) == (1_502, 1)
    new = entries(stocked)[before:]
    assert [entry[0] for entry in new] == ["intent", "outcome"] * 2
    assert {(login, ticket) for _, login, _, ticket in new} == {("test_erase", "OPS-1")}
    assert [reason for phase, _, reason, _ in new if phase == "intent"] == ["a test asks"] * 2
    counts = [reason.partition(",")[0] for phase, _, reason, _ in new if phase == "outcome"]
    assert counts == ["discarded messages: 1000", "discarded messages: 502"]
    assert "checkpoint" in done.stderr
    assert stocked.ok("erase", *asked, *WHY).json["messages"] == 0
    assert len(entries(stocked)) == before + 4


def test_what_is_due_is_what_is_old(stocked: Vault) -> None:
    """`--if-due --yes` on a timer: what is older than the setting says goes, and no more; 0 is never."""
    never = {"VAULT_ETL_QUARANTINE_MAX_AGE_DAYS": "0"}
    assert stocked.ok("erase", *DISCARD, "--if-due", "--yes", extra=never).json["messages"] == 0
    later = {"VAULT_ETL_QUARANTINE_MAX_AGE_DAYS": "41"}
    assert stocked.ok("erase", *DISCARD, "--if-due", "--yes", extra=later).json["messages"] == 0
    assert stocked.ok("erase", *DISCARD, "--if-due", "--yes").json["messages"] == 1_500
    assert stocked.count("quarantine") == 3
    assert entries(stocked)[-2][2] == "older than 30 days"


def test_all_is_what_there_is_by_the_databases_clock(stocked: Vault, tmp_path: Path) -> None:
    """A client whose clock is a day late discards what there is, too."""
    (tmp_path / "sitecustomize.py").write_text(LATE, encoding="utf-8")
    extra = {"PYTHONPATH": str(tmp_path)}
    assert stocked.ok("erase", *DISCARD, "--all", *WHY, extra=extra).json["messages"] == 1_503
    assert stocked.count("quarantine") == 0


def test_one_message_is_discarded_by_its_id(stocked: Vault) -> None:
    """The entry names the message; a missing id gives exit 66 and no entry."""
    ((the_id,),) = stocked.sql(
        "SELECT record_id FROM quarantine WHERE reason_code = 'not_an_object'"
    )
    assert stocked.ok("erase", *DISCARD, str(the_id), *WHY).json["messages"] == 1
    ((named,),) = stocked.sql("SELECT record_id FROM audit_log ORDER BY seq DESC LIMIT 1")
    assert named == the_id
    fails(stocked.run("erase", *DISCARD, UNKNOWN, *WHY), 66, "no such message")


def test_what_was_erased_does_not_come_back(stocked: Vault, tmp_path: Path) -> None:
    """A line that was erased is left by every discard, and is not quarantined again when it is loaded again."""
    file = tmp_path / "erased.jsonl"
    file.write_text(f"{event()}\n{{\n", encoding="utf-8")
    load = ("ingest", "--file", str(file), "--source", f"erased-{uuid.uuid4()}")
    before = {row for (row,) in stocked.sql("SELECT record_id FROM quarantine")}
    stocked.ok("ingest", *load)
    (erased,) = {row for (row,) in stocked.sql("SELECT record_id FROM quarantine")} - before
    stocked.ok("erase", "erase", str(erased), *WHY)
    fails(stocked.run("erase", *DISCARD, str(erased), *WHY), 66, "no such message")
    assert stocked.ok("erase", *DISCARD, "--all", *WHY).json["messages"] == 1_503
    stocked.ok("ingest", *load)
    assert stocked.sql("SELECT record_id, body_ciphertext FROM quarantine") == [(erased, None)]


def test_lines_of_one_file_are_discarded_by_their_source(stocked: Vault, tmp_path: Path) -> None:
    """`list` tells the source; those of the queue and of another file stay."""
    for name in ("a.jsonl", "b.jsonl"):
        file = tmp_path / name
        file.write_text(f"{event()}\n{{\n" + "{}\n" * len(name), encoding="utf-8")
        stocked.ok("ingest", "ingest", "--file", str(file), "--source", f"{name}-{uuid.uuid4()}")
    counts = stocked.ok("reveal", "quarantine", "list", "--summary").lines
    files = {line["source"] for line in counts} - {"queue"}
    assert len(files) == 2
    source = min(files)
    listed = stocked.ok("reveal", "quarantine", "list", "--source", source).lines
    assert {line["source"] for line in listed} == {source}
    done = stocked.ok("erase", *DISCARD, "--source", source, *WHY)
    assert done.json["messages"] == len(listed)
    left = stocked.ok("reveal", "quarantine", "list", "--summary").lines
    assert {line["source"] for line in left} == {"queue", max(files)}
    queue = stocked.ok("erase", *DISCARD, "--source", "queue", "--dry-run").json
    assert queue["messages"] == 1_503


def test_it_is_for_the_role_erase(stocked: Vault) -> None:
    """No other login discards, and the function takes no caller that did not begin by CALL."""
    for role in ROLES:
        if role != "erase":
            fails(stocked.run(role, *DISCARD, "--all", *WHY), 77, "login")
    assert stocked.count("quarantine") == 1_503


@pytest.mark.parametrize(
    "given", [(), ("--all", "--if-due"), ("--all", "--reason-code", "not_json"), (UNKNOWN, "--all")]
)
def test_a_discard_needs_exactly_one_selection(stocked: Vault, given: tuple[str, ...]) -> None:
    """No selection does not mean all messages, and two selections contradict each other."""
    fails(stocked.run("erase", *DISCARD, *given, *WHY), 2, "select messages by")
    assert stocked.count("quarantine") == 1_503


def test_the_summary_counts_by_day(stocked: Vault) -> None:
    """Today's, yesterday's, and when the first and the last came; `--until` ends before a day."""
    lines = stocked.ok("reveal", "quarantine", "list", "--summary").lines
    by_reason = {line["reason_code"]: line for line in lines}
    old = by_reason["not_json"]
    assert (old["count"], old["today"] + old["yesterday"]) == (1_502, 2)
    today = dt.datetime.now(dt.UTC).date().isoformat()
    assert old["newest"][:10] == today
    assert old["oldest"][:10] < today
    until = (dt.datetime.now(dt.UTC) - dt.timedelta(days=30)).date().isoformat()
    listed = stocked.ok("reveal", "quarantine", "list", "--until", until).lines
    assert len(listed) == 1_500


def test_a_table_of_many_shows_the_newest(stocked: Vault) -> None:
    """Fifty, and a word about the rest; `--limit` shows as many as it says."""
    shown = on_terminal(stocked, "reveal", "quarantine", "list").stdout
    assert "only the newest 50 are shown" in shown
    assert shown.count("receive count: 1") == 50
    few = on_terminal(stocked, "reveal", "quarantine", "list", "--limit", "3").stdout
    assert (few.count("receive count: 1"), "there are more" in few) == (3, False)


def test_a_retry_is_of_one_reason(stocked: Vault) -> None:
    """Messages that pass and have another reason stay; the entry names the reason that was retried."""
    quarantine(stocked, event().encode(), reason=Reason.NOT_A_DATE)
    quarantine(stocked, event().encode(), reason=Reason.FIELD_EMPTY)
    done = stocked.ok(
        "re-encrypt", "quarantine", "retry", "--reason-code", "not_a_date", "--yes"
    ).json
    assert (done["retried"], done["moved"]) == (1, 1)
    ((reason,),) = stocked.sql(
        "SELECT reason FROM audit_log WHERE action = 'quarantine retry' ORDER BY seq DESC LIMIT 1"
    )
    assert "of the reason not_a_date" in reason
    left = stocked.ok("reveal", "quarantine", "list", "--reason-code", "field_empty").lines
    assert len(left) == 1
