"""What the agent and the broker share: errors, settings, addresses and tables of samples."""
