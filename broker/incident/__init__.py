"""Incident files: all that a predictor saw around a moment, to be replayed elsewhere."""
