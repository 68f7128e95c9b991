"""`--forks N`: the tests are collected once, and run in N forks of the process that collected them.

Each process of pytest-xdist collects all tests by itself, which takes ten seconds of a processor in a fresh clone. A
fork begins with what was collected before. It takes a file at a time, in the order of the items. It takes the next
file when it begins the last test of the file before, so that pytest keeps the fixtures that both need.

The Makefile takes pytest-xdist on macOS, whose libraries may not survive a fork.
"""

from __future__ import annotations

import ctypes
import itertools
import multiprocessing
import signal
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, Final

import pytest
from _pytest.tmpdir import TempPathFactory

NO_FILE: Final = 1_000_000
"""The number of a file that does not exist. A fork that finds it ends after the test that it runs."""

ALL_RUN: Final = 77
"""The exit code of a fork that ran all that it had taken. Any other is a failure: a test may end its process with 0."""

PR_SET_PDEATHSIG: Final = 1
"""Of `linux/prctl.h`."""

_forking = multiprocessing.get_context("fork")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Choose the number of forks."""
    parser.addoption("--forks", type=int, default=0, help="run the tests in so many forks")


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop(session: pytest.Session) -> bool | None:
    """Run the tests in forks. Leave it to pytest if nothing is to be run or forked."""
    options = session.config.option
    if not options.forks or options.collectonly or session.testsfailed:
        return None
    crew = Crew(session, options.forks)
    try:
        crew.report()
    finally:
        crew.end()
    if session.shouldfail:
        raise session.Failed(session.shouldfail)
    if session.shouldstop:
        raise session.Interrupted(session.shouldstop)
    return True


@dataclass(frozen=True, slots=True)
class Fork:
    """A fork, the reports that it sends, and the index of the test that it runs (a C int in shared memory)."""

    process: BaseProcess
    reports: Connection
    running: Any


class Crew:
    """The forks of a session, and how many files they have taken."""

    def __init__(self, session: pytest.Session, count: int) -> None:
        self._session = session
        self._config = session.config
        items = enumerate(session.items)
        self._files = [list(its) for _, its in itertools.groupby(items, lambda each: each[1].path)]
        self._taken = _forking.Value("i", 0)
        self._config.pluginmanager.getplugin("terminalreporter").showfspath = False
        temporary = self._config._tmp_path_factory.getbasetemp()  # type: ignore[attr-defined]
        numbers = range(min(count, len(self._files)))
        self._forks = [self._fork(temporary / f"fork-{number}") for number in numbers]

    def report(self) -> None:
        """Report what the forks send, until all have ended."""
        left = {fork.reports: fork for fork in self._forks}
        while left:
            for reports in wait(list(left)):
                assert isinstance(reports, Connection)
                try:
                    self._report(reports.recv())
                except EOFError:
                    self._report_end(left.pop(reports))

    def end(self) -> None:
        """Let each fork end after the test that it runs."""
        self._taken.value = NO_FILE
        for fork in self._forks:
            fork.process.join()

    def _report(self, serialized: list[dict[str, Any]]) -> None:
        """Report one test."""
        hook = self._config.hook
        for data in serialized:
            report = hook.pytest_report_from_serializable(config=self._config, data=data)
            hook.pytest_runtest_logreport(report=report)
        last = serialized[-1]
        hook.pytest_runtest_logfinish(nodeid=last["nodeid"], location=last["location"])
        if self._session.shouldfail or self._session.shouldstop:
            self._taken.value = NO_FILE

    def _report_end(self, fork: Fork) -> None:
        """Report a fork that did not end by itself as the failure of the test that it ran."""
        fork.process.join()
        if fork.process.exitcode == ALL_RUN:
            return
        item = self._session.items[fork.running.value]
        report = pytest.TestReport(
            nodeid=item.nodeid,
            location=item.location,
            keywords={},
            outcome="failed",
            longrepr=f"its process ended (exit code {fork.process.exitcode}): the tests that it had taken are not run",
            when="call",
        )
        self._config.hook.pytest_runtest_logreport(report=report)

    def _fork(self, temporary: Path) -> Fork:
        receiving, sending = _forking.Pipe(duplex=False)
        running = _forking.RawValue("i", 0)
        process = _forking.Process(target=self._run, args=(temporary, running, sending))
        process.start()
        sending.close()
        return Fork(process, receiving, running)

    def _run(self, temporary: Path, running: Any, sending: Connection) -> None:  # noqa: ANN401 - as in Fork
        """Run tests in a fork, until no file is left."""
        _end_with_parent()
        _become_worker(self._config, temporary)
        self._config.pluginmanager.register(Sender(self._config, sending))
        todo = self._todo()
        item = next(todo, None)
        are_all_run = False
        with suppress(KeyboardInterrupt):
            while item and self._taken.value < NO_FILE:
                running.value = item[0]
                following = next(todo, None)
                self._config.hook.pytest_runtest_protocol(
                    item=item[1], nextitem=following and following[1]
                )
                item = following
            are_all_run = True
        self._config.hook.pytest_sessionfinish(session=self._session, exitstatus=0)
        if are_all_run:
            sys.exit(ALL_RUN)

    def _todo(self) -> Iterator[tuple[int, pytest.Item]]:
        """Take a file when the one before is used up: each test, and its index."""
        while True:
            with self._taken.get_lock():
                number = self._taken.value
                self._taken.value = number + 1
            if number >= len(self._files):
                return
            yield from self._files[number]


class Sender:
    """Sends the reports of each test, when it has ended."""

    def __init__(self, config: pytest.Config, sending: Connection) -> None:
        self._config = config
        self._sending = sending
        self._reports: list[dict[str, Any]] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Keep the report of the setup, the call or the teardown of a test."""
        hook = self._config.hook
        self._reports.append(hook.pytest_report_to_serializable(config=self._config, report=report))

    def pytest_runtest_logfinish(self) -> None:
        """Send the reports of a test."""
        self._sending.send(self._reports)
        self._reports = []


def _end_with_parent() -> None:
    """Let Linux interrupt this fork when its parent ends, however the parent ends: fixtures are torn down."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGINT)


def _become_worker(config: pytest.Config, temporary: Path) -> None:
    """Leave the terminal and all files of a session to the parent, and have temporary folders and captures apart."""
    config.workerinput = {}  # type: ignore[attr-defined]  # as in a process of pytest-xdist: plugins ask for it
    config.pluginmanager.unregister(name="terminalreporter")
    config.option.basetemp = temporary
    config._tmp_path_factory = TempPathFactory.from_config(config, _ispytest=True)  # type: ignore[attr-defined]
    capture = config.pluginmanager.getplugin("capturemanager")
    capture.stop_global_capturing()
    capture.start_global_capturing()
