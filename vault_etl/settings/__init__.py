"""Settings, read once at start: from the environment, then from `vault-etl.toml`."""

from vault_etl.settings.fields import Secret
from vault_etl.settings.model import PREFIX, SPECS, Settings
from vault_etl.settings.sources import FoundSetting, inspect, load

__all__ = ["PREFIX", "SPECS", "FoundSetting", "Secret", "Settings", "inspect", "load"]
