"""The torture run of several brokers with one database, as `make chaos-fleet` starts it."""
