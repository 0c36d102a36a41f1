"""The embedded recorder: an SQLite file with one owner, and its readers."""
