"""Quartet's console: pages in a browser that show how each machine is, and why."""
