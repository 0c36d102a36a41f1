"""An agent's samples with their answers, in files that other programs read."""
