"""What an MQTT server is told of agents, for Home Assistant and whoever else listens."""
