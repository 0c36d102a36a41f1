"""How soon something must be said, and how much later it is seen on a machine that is busy."""

SAID_WITHIN_S = 5.0
"""What agent and broker promise where a file is not the one that they think."""

MARGIN_S = 10.0
"""No verdict depends on speed: between a word and when it is seen lies a busy machine, a link
that is delayed, an agent that is frozen for a while."""

LONGEST_SILENCE_S = SAID_WITHIN_S + MARGIN_S
