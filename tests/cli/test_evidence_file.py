"""The file of evidence: `--resume` continues an earlier run's file, and leaves every other file as it is."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.kit.declarations import DEFAULT
from tests.kit.declared import PERSONAL_FIELDS
from vault_etl.audit.entries import Action, AuditRequest
from vault_etl.base.errors import UsageError
from vault_etl.cli.evidence import CsvEvidence, Evidence, EvidenceFile, JsonEvidence
from vault_etl.cli.ui.record_names import RecordNames

REQUEST = AuditRequest(
    request_id=uuid.UUID(int=1),
    action=Action.REVEAL,
    actor="arn:aws:iam::123456789012:user/someone",
    host="laptop",
    reason="case 12",
    fields=PERSONAL_FIELDS,
)
FORMS: dict[str, Evidence] = {
    "csv": CsvEvidence(RecordNames.of(DEFAULT), PERSONAL_FIELDS),
    "json": JsonEvidence(),
}


def row(number: int) -> Mapping[str, Any]:
    """A row of the request."""
    return {
        "record_id": str(uuid.UUID(int=number)),
        "user_id": "4711",
        "create_date": None,
        "fields": dict.fromkeys(PERSONAL_FIELDS, "a\n'b\""),
        "erased": [],
        "action": "reveal",
        "login": "ann",
        "time": "2026-01-01",
        "reason": "case 12",
        "purpose": None,
        "ticket": None,
        "audit_seq": number,
        "audit_hash": "00",
        "checkpoint": "",
    }


def opened(path: Path, form: Evidence, *, resume: bool = True) -> EvidenceFile:
    """The file, for the request."""
    return EvidenceFile(path, form, REQUEST, DEFAULT, resume=resume)


@pytest.fixture(params=FORMS)
def form(request: pytest.FixtureRequest) -> Evidence:
    """Each of the forms of a file."""
    return FORMS[request.param]


@pytest.fixture
def file(tmp_path: Path, form: Evidence) -> Path:
    """A file with two rows."""
    path = tmp_path / "case"
    with_rows = opened(path, form, resume=False)
    with_rows.add(row(1))
    with_rows.add(row(2))
    with_rows.close()
    return path


def test_a_cut_file_is_continued(file: Path, form: Evidence) -> None:
    """The row that is cut off is removed, and no byte before it."""
    whole = file.read_bytes()
    for size in range(len(whole) % 23, len(whole) + 1, 23):
        file.write_bytes(whole[:size])
        evidence = opened(file, form)
        for number in {1, 2} - {one.int for one in evidence.done}:
            evidence.add(row(number))
        evidence.close()
        assert file.read_bytes() == whole, size


@pytest.mark.parametrize(
    "content",
    [
        b"a line of text",
        b'"a quote that is open\nand more\nlines',
        b'{"mine": "one object in one line"}',
        b'{"mine": 1}\n',
        b"[" * 200_000 + b"\n",
        b"\n",
        b"\xff\n",
        b"record_id,user_id\n",
    ],
)
def test_a_file_that_is_no_evidence_is_left_as_it_is(
    tmp_path: Path, form: Evidence, content: bytes
) -> None:
    """The file is not cut, removed or written to."""
    path = tmp_path / "mine"
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(UsageError, match="not evidence of this form"):
        opened(path, form)
    assert path.read_bytes() == content


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o644])
def test_a_file_that_others_may_read_is_refused(file: Path, form: Evidence, mode: int) -> None:
    """An earlier file that was copied has the mode of the copy."""
    file.chmod(mode)
    with pytest.raises(UsageError, match="others may read"):
        opened(file, form)


def link(path: Path) -> None:
    """Make a link to evidence."""
    path.with_name("case").touch(0o600)
    path.symlink_to("case")


@pytest.mark.parametrize(
    "make", [link, lambda path: path.symlink_to("nothing"), os.mkfifo, lambda path: path.mkdir()]
)
def test_a_file_that_is_not_regular_is_refused(
    tmp_path: Path, form: Evidence, make: Callable[[Path], None]
) -> None:
    """A link is not followed, whether its target exists or not; a pipe is not waited for."""
    make(tmp_path / "other")
    for resume in (True, False):
        with pytest.raises(UsageError, match=r"not a regular file|exists already"):
            opened(tmp_path / "other", form, resume=resume)
    assert not (tmp_path / "nothing").exists()


def test_a_file_has_one_run_at_a_time(file: Path, form: Evidence) -> None:
    """Two runs would cut off each other's rows."""
    first = opened(file, form)
    with pytest.raises(UsageError, match="another run"):
        opened(file, form)
    first.close()
    opened(file, form).close()


def test_a_file_without_a_row_is_taken_away_by_the_run_that_made_it(
    tmp_path: Path, form: Evidence
) -> None:
    """An existing file that is empty stays."""
    opened(tmp_path / "new", form).close()
    assert not (tmp_path / "new").exists()
    (tmp_path / "old").touch(0o600)
    opened(tmp_path / "old", form).close()
    assert (tmp_path / "old").read_bytes() == form.header()


def test_rows_of_another_request_are_refused(file: Path, form: Evidence) -> None:
    """The file has a row of another reason among the rows of this request."""
    other = {**row(3), "reason": "another"}
    with file.open("ab") as more:
        more.write(form.row(other))
    content = file.read_bytes()
    with pytest.raises(UsageError, match="evidence of another request"):
        opened(file, form)
    assert file.read_bytes() == content
