"""How a broker is reached: its name, the way to it, and why it could not be reached."""
