"""Tells people and programs what happens, by webhook and by mail: a process of its own."""
