"""Settings, read once at start: from the environment, then from `vault-etl.toml`."""

from vault_etl.settings.fields import Secret
from vault_etl.settings.model import DECLARED, PREFIX, Settings
from vault_etl.settings.sources import FoundSetting, inspect, load

__all__ = ["DECLARED", "PREFIX", "FoundSetting", "Secret", "Settings", "inspect", "load"]
