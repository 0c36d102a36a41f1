"""A small certificate authority for those who have none; see docs/security.md."""
