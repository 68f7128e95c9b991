"""The whole server of Postgres stops, crashes, or turns read-only: it is waited for."""

from __future__ import annotations

import pytest

from tests.endurance.outages.crashable import Crashable
from tests.endurance.outages.faults import ServerFault, crashed, stopped, turned_read_only
from tests.endurance.outages.following import following
from tests.endurance.outages.survival import survives
from tests.kit.events import events
from tests.kit.vault import Vault


@pytest.mark.parametrize("fault", [stopped, crashed, turned_read_only])
def test_an_outage_of_the_server_is_waited_for(
    vault: Vault, crashable: Crashable, fault: ServerFault
) -> None:
    """Ingest is not ready, receives and deletes nothing meanwhile; then every message is stored once, by itself."""
    with following(vault) as run:
        vault.send(events(3))
        run.until_settled(3)
        survives(run, fault(vault, crashable), "unavailable")
