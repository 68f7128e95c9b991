"""Migrations, in one transaction or online, and the comparison of the schema with what they make."""
