"""A black box that is slow, in the extreme."""

import threading

from broker.model import Sample


class Endless:
    """True for an odd id; never comes back from sample 13, and cannot do 7."""

    def predict(self, sample: Sample) -> bool:
        if sample.id == 7:
            raise ArithmeticError("no logarithm of 7")
        if sample.id == 13:
            threading.Event().wait()
        return sample.id % 2 == 1
