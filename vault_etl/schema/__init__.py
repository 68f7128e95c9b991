"""Migrations, with a transaction or online, and the schema that they must have made."""
