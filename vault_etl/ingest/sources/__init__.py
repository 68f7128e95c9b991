"""The sources of events: SQS, its dead letters, and files of lines, JSON or CSV."""
