"""The shared recorder: a PostgreSQL database with many brokers, and its readers."""
