"""Everything that breaks, by the draw of a seed, and the count of what broke with messages in flight."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import product

import psutil

from tests.endurance.chaos.site import Service, Site
from tests.endurance.chaos.supervised import Supervised
from tests.endurance.chaos.traffic import Traffic
from tests.kit.tcp_proxy import Fault

DELAY_MS = 300
FELT_WITHIN_S = 150
"""A worker that could not begin is started again after half a minute."""

WHILE_S = 8

BUSY_WITHIN_S = 60
LOOK_S = 0.1


@dataclass(frozen=True, slots=True)
class Plan:
    """The number of faults of each kind, and the seconds that a fault lasts once a worker felt the fault."""

    faults_of_a_kind: int
    restarts: int
    kills: int
    fault_seconds: tuple[float, float]
    kill_pause: tuple[float, float] = (0.5, 1.5)


@dataclass(slots=True)
class Count:
    """Counts of what broke while messages were in flight."""

    kills: int = 0
    parent_kills: int = 0
    restarts: int = 0
    faults: Counter[tuple[Service, Fault]] = field(default_factory=Counter)


class Storm:
    """Runs a plan. One thread kills workers all the time; the rest breaks in turn."""

    def __init__(
        self, site: Site, ingest: Supervised, traffic: Traffic, plan: Plan, seed: int
    ) -> None:
        self.count = Count()
        self._site = site
        self._ingest = ingest
        self._traffic = traffic
        self._plan = plan
        self._draw = random.Random(seed)
        self._killer_draw = random.Random(f"{seed} kills")
        self._over = threading.Event()
        self._one_at_a_time = threading.Lock()
        self._failure: BaseException | None = None

    def run(self) -> None:
        """Run until all of the plan has happened."""
        killer = threading.Thread(target=self._kill_workers)
        killer.start()
        try:
            acts = self._acts()
            for number, act in enumerate(acts, start=1):
                self._traffic.allow(number / (len(acts) + 2))
                act()
            self._until("kills", lambda: self.count.kills >= self._plan.kills, 4 * BUSY_WITHIN_S)
        finally:
            self._over.set()
            killer.join()
        assert self._failure is None

    def _acts(self) -> list[Callable[[], None]]:
        """Every fault of every service, and the restarts, in an order drawn; the parent's end half way."""
        acts: list[Callable[[], None]] = [
            lambda service=service, fault=fault: self._break(service, fault)  # type: ignore[misc]
            for service, fault in product(Service, Fault)
            for _ in range(self._plan.faults_of_a_kind)
        ]
        acts += [self._restart_postgres] * self._plan.restarts
        self._draw.shuffle(acts)
        acts.insert(len(acts) // 2, self._kill_parent)
        return acts

    def _break(self, service: Service, fault: Fault) -> None:
        """Break the line, until that was felt while messages were in flight; and a little longer.

        A worker that is cut off receives nothing: if no worker felt the fault, the line is mended and broken again.
        """
        ends = time.monotonic() + FELT_WITHIN_S
        while not self._broke(service, fault):
            assert time.monotonic() < ends, f"not within {FELT_WITHIN_S} s: {service} {fault}"

    def _broke(self, service: Service, fault: Fault) -> bool:
        self._until_busy()
        proxy = self._site.proxies[service]
        before = proxy.hits[fault]
        with proxy.broken(fault, DELAY_MS):
            felt = self._is_so(lambda: proxy.hits[fault] > before and self._is_busy())
            if felt:
                self.count.faults[service, fault] += 1
                time.sleep(self._draw.uniform(*self._plan.fault_seconds))
        return felt

    def _is_so(self, condition: Callable[[], bool]) -> bool:
        """Wait a while, and tell whether the condition came true."""
        ends = time.monotonic() + WHILE_S
        while time.monotonic() < ends:
            if condition():
                return True
            time.sleep(LOOK_S)
        return False

    def _restart_postgres(self) -> None:
        self._until_busy()
        self._site.crash_postgres()
        self.count.restarts += self._is_busy()
        time.sleep(self._draw.uniform(0, 2))
        self._site.start_postgres()

    def _kill_parent(self) -> None:
        with self._one_at_a_time:
            self._until("workers", lambda: bool(self._ingest.working()), BUSY_WITHIN_S)
            self._until_busy()
            self._ingest.kill_parent()
            self.count.parent_kills += 1
            self.count.kills += 1

    def _kill_workers(self) -> None:
        """A random one every second or so, of those that are at work."""
        try:
            while not self._over.wait(self._killer_draw.uniform(*self._plan.kill_pause)):
                with self._one_at_a_time:
                    self._ingest.watch()
                    self._kill_worker()
        except BaseException as error:
            self._failure = error
            raise

    def _kill_worker(self) -> None:
        working = self._ingest.working()
        if working and self._is_busy():
            with suppress(psutil.NoSuchProcess):
                self._killer_draw.choice(working).kill()
                self.count.kills += 1

    def _is_busy(self) -> bool:
        return self._site.in_flight() > 0

    def _until_busy(self) -> None:
        self._until("messages in flight", self._is_busy, BUSY_WITHIN_S)

    def _until(self, what: str, condition: Callable[[], bool], seconds: float) -> None:
        """Wait for it; more messages come, lest it waits for some to be in flight."""
        ends = time.monotonic() + seconds
        nudge_at = time.monotonic() + 1
        while not condition():
            self._ingest.assert_running()
            assert time.monotonic() < ends, f"not within {seconds} s: {what}"
            if time.monotonic() >= nudge_at:
                self._traffic.nudge()
                nudge_at += 1
            time.sleep(LOOK_S)
