"""Parts of the audit log that leave the database: exported, proved, trimmed, verified again."""
