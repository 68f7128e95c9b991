"""Parts of the audit log that leave the database: exported, proven, trimmed, verified again."""
