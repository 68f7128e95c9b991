"""One login event: its parser, its envelopes, and why an event is rejected."""
