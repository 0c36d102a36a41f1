"""Quartet's agent: reads four sensors, streams each sample to the broker, logs each prediction."""
