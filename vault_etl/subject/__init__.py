"""The export of all data that the vault has about one person."""
