"""Output, progress, prompts, options and signals that commands share."""
