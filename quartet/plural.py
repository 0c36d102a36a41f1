"""Numbers that agree with their nouns and verbs, in messages."""


def counted(number: int, noun: str, *verb: str) -> str:
    """A number of things: "2 samples". `verb` is what one does, and what several do."""
    one = number == 1
    words = [f"{number} {noun}{'' if one else 's'}"]
    if verb:
        singular, plural = verb
        words.append(singular if one else plural)
    return " ".join(words)
