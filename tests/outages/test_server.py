"""The whole server of Postgres stops, crashes, or turns read-only: it is waited for."""

from __future__ import annotations

import pytest

from tests.cli.events import events
from tests.outages.crashable import Crashable
from tests.outages.faults import ServerFault, crashed, stopped, turned_read_only
from tests.outages.following import following
from tests.outages.survival import survives
from tests.vault import Vault


@pytest.mark.parametrize("fault", [stopped, crashed, turned_read_only])
def test_an_outage_of_the_server_is_waited_for(
    vault: Vault, crashable: Crashable, fault: ServerFault
) -> None:
    """Not ready, nothing received or deleted meanwhile; then all of it stored once, by itself."""
    with following(vault) as run:
        vault.send(events(3))
        run.until_settled(3)
        survives(run, fault(vault, crashable), "unavailable")
