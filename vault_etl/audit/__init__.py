"""The audit log: entries, their chain, checkpoints, the policy, and openings that need a receipt."""
