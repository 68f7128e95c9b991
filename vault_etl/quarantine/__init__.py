"""Messages that could not become records: list, show, retry and discard them."""
