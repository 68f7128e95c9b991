"""What holds for every test: nothing of this user's AWS or vault-etl settings reaches one."""

from __future__ import annotations

import functools
import gc
import os
import signal
from pathlib import Path

import pytest

from tests.kit.forking import server
from tests.kit.kinds import kind_by_needs, kinds_of
from vault_etl.local.emulator import EmulatorName

pytest_plugins = (
    "tests.kit.spread",
    "tests.kit.midnight",
    "tests.kit.isolation",
    "tests.kit.databases",  # before those that import it
    "tests.kit.servers",
    "tests.kit.vaults",
    "tests.kit.fake_vault",
    "tests.kit.benches",
    "tests.kit.holders",
    "tests.kit.many",
)
OURS = ("AWS_", "VAULT_ETL_")
ONCE = {
    "erase/": "only Postgres erases; a search opens values as a reveal does",
    "fuzz/": "the parsers alone",
    "docs/test_runbooks.py": "each command has its tests of what AWS is asked, and one symptom needs policies",
    "drills/": "about Postgres, and what a disabled KMS key stops",
    "endurance/outages/": "about us, and mostly waits",
    "rotation/": "about rows, locks and kills; what KMS is asked is in rotation/test_rotation_command.py",
    "vectors/": "bytes alone",
    "library/": "what the commands do, which have their tests on both",
    "endurance/year/": "what Postgres holds; each command has its tests of what KMS is asked",
    "endurance/workers/": "about us, and mostly waits",
    "audit/test_concurrent.py": "about the end of the log, which is Postgres's",
    "audit/test_injection.py": "what is typed is cleaned, stored and shown without AWS",
    "audit/test_policy.py": "the database decides, before KMS is asked",
    "audit/test_transcripts.py": "in what form entries are printed",
    "cli/test_bug.py": "the bugs are Postgres's",
    "integrations/": "about other programs; what KMS is asked is in the tests of the library",
    "app/test_config.py": "nothing is asked",
    "app/test_published.py": "logical replication is Postgres's",
    "app/test_replica.py": "the standby is Postgres's; KMS is asked as by any access",
    "app/test_restored.py": "what went back is Postgres's",
    "reveal/test_duplicates.py": "Postgres alone is asked, and a test there holds it to that",
    "kit/test_forked.py": "how the tests start a command",
    "cli/test_help.py": "nothing is asked",
    "cli/test_output.py": "in what form it is printed, whatever was opened",
    "docs/test_adopt.py": "a page on a table of Postgres; its commands have their tests on both",
    "partitions/test_partitions_command.py": "months are tables of Postgres",
    "partitions/test_unattached_months.py": "what is told of months; archives have their tests on both",
    "schema/test_migrations.py": "Postgres alone is asked",
    "app/test_passwords.py": "Postgres is asked; of AWS it is IAM that matters, and LocalStack's free edition has none",
    "quarantine/test_quarantine_command.py": "what is listed and shown; what KMS opens is in test_retry_command.py",
    "quarantine/test_discard_command.py": "rows are deleted, and nothing is opened",
    "app/test_settings.py": "ends before AWS is asked",
    "app/test_traces.py": "what a receiver of traces is sent, which is not AWS",
    "cli/test_signals.py": "about us, and mostly waits",
    "cli/test_usage.py": "ends before AWS is asked",
    "reveal/test_find_enumeration.py": "what SQL says to a reader, without KMS",
    "reveal/test_many_values.py": "about lists, ranges and quotas; what KMS is asked is in test_find_command.py",
    "ingest/sources/test_confirming_guesses.py": "about ids and digests, which Postgres holds",
    "ingest/sources/test_file_kinds.py": "about the forms of files; a load by KMS's keys is in test_command.py there",
    "ingest/sources/test_loading_lines.py": "about lines, which are no messages",
    "ingest/sources/test_named_sources.py": "about digests, which Postgres holds",
    "attacks/tampering/test_bytes.py": "the key is in memory, and no changed byte gets to KMS",
    "attacks/tampering/test_moved.py": "the key opens, and what it is asked to open is not its own",
    "attacks/tampering/test_padding.py": "the key opens, and what is behind it has no padding of ours",
}
"""Folders and files whose tests say nothing of the emulator, and why: the first half alone runs them."""
TWICE = ("rotation/test_retoken_command.py", "rotation/test_rotation_command.py")
"""Files in a folder of `ONCE` that are run on both emulators."""
ENDURANCE = {
    "benchmarks/test_benches.py": "every benchmark, at a size that measures nothing",
    "endurance/outages/": "services that fail, for as long as they fail",
    "endurance/workers/": "processes that are killed, and their restarts",
    "endurance/year/": "24 months of loads, rotations and archives",
    "app/test_add_field.py": "a field that is added beside a running ingest",
    "app/test_unavailable.py": "services that do not answer, to the end of each time limit",
    "audit/test_million_entries.py": "a log of half a million entries",
    "audit/test_owner_noise.py": "a log with the owner's junk, verified again and again",
    "docs/test_add_a_field.py": "a page beside a running ingest",
    "docs/test_runbooks.py": "a page of eighty commands",
    "docs/test_your_own_events.py": "a page of thirty commands",
    "kit/test_faulty_queue.py": "what the tests of outages are made with",
    "kit/test_forked.py": "commands that are started twice, to be compared",
    "kit/test_tcp_proxy.py": "what the tests of outages are made with",
    "local/test_as_root.py": "two users with a stack each",
    "local/test_local_commands.py": "stacks that are started and destroyed",
    "local/test_stack.py": "stacks that are started, killed and started again",
    "packaging/test_wheel.py": "a wheel that is built and installed",
    "rotation/test_away.py": "rotations beside services that fail half-way",
    "rotation/test_bloat.py": "a table that is written twice over",
    "rotation/test_compromised_worker.py": "rotations over rows of noise",
    "rotation/test_cut_over_under_readers.py": "readers that go on through a whole rotation",
    "rotation/test_entries.py": "a rotation, range by range",
    "rotation/test_every_phase.py": "every command in each phase of a rotation",
    "rotation/test_killed.py": "rotations that are killed at random moments",
    "schema/test_online.py": "online migrations that are killed beside a loader",
    "schema/test_own_cluster.py": "a PostgreSQL cluster of its own for each version",
}
"""Folders and files of `make endurance`, and what takes their time. `make test` leaves them to `make test-all`."""
FIRST = (
    "containers/test_compose_up.py",  # builds all images, for which the others of its folder would wait
    "spark/",  # a cluster, which is one test process for minutes of CPU
    "attacks/iam/",
    "benchmarks/test_benches.py",
    "endurance/outages/test_long_outages.py",
    "endurance/year/",
    "attacks/least_privilege/test_deployed_template.py",
    "local/test_stack.py",
    "endurance/outages/",
    "docs/test_your_own_events.py",
    "containers/",
    "rotation/",
    "endurance/chaos/",
    "app/test_unavailable.py",
    "local/",
    "keys/test_leases.py",
    "keys/test_memory.py",
    "packaging/",
    "endurance/workers/",
)
"""What takes longest, in its order: what begins last is short, so that all test processes end together."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Choose the emulator behind the fixture `vault`."""
    parser.addoption(
        "--emulator", choices=[*EmulatorName], default=EmulatorName.MOTO, help="AWS, emulated by"
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """What takes long comes `FIRST`.

    On LocalStack, what works with an emulator at all, but for what asks it to enforce policies.
    """
    for item in items:
        if _name(item.path).startswith(tuple(ENDURANCE)):
            item.add_marker("endurance")
        if not kinds_of(item):
            item.add_marker(kind_by_needs(item))
    items.sort(key=lambda item: _turn(item.path))
    if not _is_second_half(config):
        return
    fit = {
        item
        for item in items
        if ("moto" in getattr(item, "fixturenames", ()) or item.get_closest_marker("emulator"))
        and not item.get_closest_marker("iam")
    }
    config.hook.pytest_deselected(items=[item for item in items if item not in fit])
    items[:] = [item for item in items if item in fit]


def pytest_collection_finish(session: pytest.Session) -> None:
    """Leave thirteen thousand tests out of every later search for garbage: a twentieth of a process's time.

    Start the server of `tests/kit/forking.py`, which all forks of this process share.
    """
    gc.freeze()
    options = session.config.option
    if (
        options.forks
        and not options.collectonly
        and any(item.get_closest_marker("command") for item in session.items)
    ):
        server()


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """On LocalStack, `ONCE` is not even read."""
    if not _is_second_half(config) or not collection_path.is_file():
        return None
    name = _name(collection_path)
    return True if name not in TWICE and name.startswith(tuple(ONCE)) else None


def _is_second_half(config: pytest.Config) -> bool:
    return bool(config.getoption("--emulator") == EmulatorName.LOCALSTACK)


@functools.cache
def _turn(path: Path) -> int:
    """The place of a file in `FIRST`; the others follow in the order of their names."""
    name = _name(path)
    places = (place for place, first in enumerate(FIRST) if name.startswith(first))
    return next(places, len(FIRST))


@functools.cache
def _name(path: Path) -> str:
    return path.relative_to(Path(__file__).parent).as_posix()


def pytest_configure(config: pytest.Config) -> None:
    """Forget the caller's settings, in this process and in those that it starts.

    A profile or an endpoint in a developer's shell would point the tests at a real account.
    """
    del config
    # A shell's background job ignores Ctrl-C, and what it starts would too.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    for name in [name for name in os.environ if name.startswith(OURS)]:
        del os.environ[name]
    os.environ["AWS_CONFIG_FILE"] = os.devnull
    os.environ["AWS_SHARED_CREDENTIALS_FILE"] = os.devnull
    os.environ["AWS_EC2_METADATA_DISABLED"] = "true"
