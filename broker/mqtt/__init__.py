"""Tells an MQTT server of all agents: a process of its own, which only reads the records."""
