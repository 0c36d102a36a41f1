"""Clients of other makings, and proxies, at a real broker."""
