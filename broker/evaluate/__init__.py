"""A black box on files, offline: what it would have said, and whether it may be trusted to."""
