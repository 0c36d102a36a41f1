"""The options of a predictor, compared with what its class takes."""

import inspect
from collections.abc import Callable, Iterator, Mapping

from broker.errors import PredictorError


def check_options(name: str, kind: Callable[..., object], options: Mapping[str, object]) -> None:
    """PredictorError with a line for each option that is unknown or missing.

    A class whose signature cannot be read, or that takes any option, is not checked.
    """
    try:
        parameters = list(inspect.signature(kind).parameters.values())
    except (TypeError, ValueError):
        return
    if any(each.kind is each.VAR_KEYWORD for each in parameters):
        return
    named = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    known = {each.name: each.default is each.empty for each in parameters if each.kind in named}
    former = getattr(kind, "former_options", {})
    if problems := list(_problems(name, known, former, options)):
        raise PredictorError(*problems)


def _problems(
    name: str, known: Mapping[str, bool], former: Mapping[str, str], options: Mapping[str, object]
) -> Iterator[str]:
    """`known` has for each option whether it is required; `former` what to do instead of it."""
    for option in options:
        if option in known:
            continue
        if option in former:
            yield f"predictor.options.{option}: no option any more: {former[option]}"
            continue
        yield f"predictor.options.{option}: unknown option; {_hint(name, known, option)}"
    for option, is_required in known.items():
        if is_required and option not in options:
            yield f"predictor.options.{option}: missing: {name} needs this option"


def _hint(name: str, known: Mapping[str, bool], option: str) -> str:
    import difflib  # noqa: PLC0415 - only a mistake needs it

    if near := difflib.get_close_matches(option, known, n=1):
        return f"did you mean '{near[0]}'?"
    return f"{name} has {', '.join(known)}" if known else f"{name} has no options"
