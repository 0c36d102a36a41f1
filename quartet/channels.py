"""The four channels that everything here is about."""

CHANNELS = 4

Values = tuple[float, float, float, float]
"""One value of each channel, taken together. NaN: this reading failed."""

FLOAT32_MAX = 3.4028234663852886e38
"""The largest finite value that the wire can carry."""
