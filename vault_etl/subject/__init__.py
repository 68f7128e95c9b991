"""Everything the vault holds about one person, exported."""
