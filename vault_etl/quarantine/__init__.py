"""Messages that are no events: listed, shown, retried, discarded."""
