"""Quartet's broker: answers each sample of each agent at once with a black box's prediction."""
