"""Each suite runs on the fake and on the real adapter: what one promises, the other keeps."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.contract.bench import Bench, FakeBench, PostgresBench


@pytest.fixture(params=["fake", "postgres"])
def bench(request: pytest.FixtureRequest) -> Iterator[Bench]:
    """An empty vault, without keys."""
    if request.param == "fake":
        yield FakeBench()
        return
    real = PostgresBench(request.getfixturevalue("bare_vault"))
    yield real
    real.close()
