"""A seeded torture run of a real agent and a real broker, and the verdict on what they kept."""
