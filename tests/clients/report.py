"""Runs the steps of a scenario in order and prints one line for each."""

import time
import traceback

_WIDTH = 62


def run(steps):
    """Runs every step, also after a failed one; returns whether all held."""
    results = [_run(step) for step in steps]
    print(f"{sum(results)} of {len(results)} steps held")
    return all(results)


def _run(step):
    name = step.__doc__.strip().rstrip(".")
    start = time.monotonic()
    try:
        seen = step()
    except Exception as problem:  # whatever goes wrong is this step's result
        _line("FAILED", name, start, f"{type(problem).__name__}: {problem}")
        traceback.print_exc()
        return False
    _line("ok", name, start, seen)
    return True


def _line(outcome, name, start, seen):
    elapsed = f"{(time.monotonic() - start) * 1000:.0f} ms"
    print(f"{outcome:<7}{name:<{_WIDTH}}{elapsed:>8}  {seen}", flush=True)


def expect(found, wanted):
    """Fails unless both are equal; returns what was found."""
    if found != wanted:
        raise AssertionError(f"found {found!r}, wanted {wanted!r}")
    return found


def refused(kind, call, *parts):
    """Fails unless `call` raises `kind` with a message that has every part; returns the first part."""
    try:
        call()
    except kind as problem:
        missing = [part for part in parts if part not in str(problem)]
        if missing:
            raise AssertionError(f"{missing} not in: {problem}") from problem
        return f"{kind.__name__}: {parts[0]}"
    raise AssertionError(f"{kind.__name__} was not raised")
