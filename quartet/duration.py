"""How long something has lasted, in words."""

from quartet.plural import counted

# In a smaller unit up to twice a larger one: "90 min" says more than "1 h".
_MOST_S = 120
_MOST_MIN_S = 2 * 3600
_MOST_H_S = 2 * 86_400


def lasted(seconds: float) -> str:
    """A length of time in one unit: "119 s", "3 min", "47 h", "5 days". None is negative."""
    whole = max(0, int(seconds))
    if whole < _MOST_S:
        return f"{whole} s"
    if whole < _MOST_MIN_S:
        return f"{whole // 60} min"
    if whole < _MOST_H_S:
        return f"{whole // 3600} h"
    return counted(whole // 86_400, "day")
