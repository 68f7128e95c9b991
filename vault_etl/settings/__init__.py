"""Settings, read once at start: from the environment, then from `vault-etl.toml`."""

from vault_etl.settings.model import PREFIX, Settings
from vault_etl.settings.sources import FoundSetting, inspect, load

__all__ = ["PREFIX", "FoundSetting", "Settings", "inspect", "load"]
