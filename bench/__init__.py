"""Measurements of the broker and the agent beside plain implementations; see README.md."""
