"""Where events come from: SQS, its dead letters, and files of lines, JSON or CSV."""
