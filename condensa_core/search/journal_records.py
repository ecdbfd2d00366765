"""What the records of a journal look like: a right checksum says that a line is whole, not that it means anything."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, Final

Check = Callable[[Any], bool]

_MOST: Final = 10**9  # trials, and attempts at one


def is_record(record: Any) -> bool:
    """Whether it is an entry; of a kind that this package writes, also whether its payload is one of that kind."""
    if not isinstance(record, Mapping) or not isinstance(record.get("kind"), str):
        return False
    payload = record.get("payload")
    return isinstance(payload, Mapping) and PAYLOADS.get(record["kind"], _anything)(payload)


def _anything(value: Any) -> bool:
    return True


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _MOST


def _is_number(value: Any) -> bool:
    """A finite one, which a double can hold."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:
        return False


def _is_length(value: Any) -> bool:
    return _is_number(value) and value >= 0


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_mapping(value: Any) -> bool:
    return isinstance(value, Mapping)


def _is_value(value: Any) -> bool:
    return isinstance(value, (str, bool)) or _is_number(value)


def _is_point(value: Any) -> bool:
    return isinstance(value, Mapping) and all(_is_value(setting) for setting in value.values())


def _or_none(check: Check) -> Check:
    return lambda value: value is None or check(value)


def _list_of(check: Check) -> Check:
    return lambda value: isinstance(value, list) and all(check(item) for item in value)


def _pair_of(first: Check, second: Check) -> Check:
    return lambda value: isinstance(value, list) and len(value) == 2 and first(value[0]) and second(value[1])


def _with(**keys: Check) -> Check:
    """A mapping with at least these keys."""
    return lambda value: (
        isinstance(value, Mapping) and all(key in value and check(value[key]) for key, check in keys.items())
    )


def _is_observation(value: Any) -> bool:
    if not _OBSERVATION(value) or value["status"] not in ("ok", "failed", "aborted"):
        return False
    return bool((value["metric"] is None) == (value["status"] == "failed"))


def _is_trial_started(value: Any) -> bool:
    return _TRIAL(value) and _is_mapping(value.get("brief", {}))


def _is_profile(value: Any) -> bool:
    """Of one knob, or of several."""
    measured = _list_of(_pair_of(_is_value, _or_none(_is_number)))(value.get("settings"))
    return _PROFILE(value) and (measured or _list_of(_pair_of(_is_point, _or_none(_is_number)))(value.get("measured")))


_OBSERVATION: Final = _with(
    point=_is_point,
    status=_is_text,
    metric=_or_none(_is_number),
    sd=_or_none(_is_length),
    objective=_or_none(_is_number),
    details=_is_mapping,
    failure=_is_text,
)
_TRIAL: Final = _with(number=_is_count, attempt=_is_count, point=_is_point)
_TIMED: Final = _with(number=_is_count, attempt=_is_count, point=_is_point, wall_s=_is_length, waited_s=_is_length)
_PROFILE: Final = _with(reference=_is_number, direction=_is_text, margin=_is_length, name=_is_text)

PAYLOADS: Final[Mapping[str, Check]] = {
    "profile": _is_profile,
    "sensitivity": lambda value: (
        _is_mapping(value.get("readings"))
        and all(_list_of(_pair_of(_is_value, _is_number))(pairs) for pairs in value["readings"].values())
    ),
    "trial-started": _is_trial_started,
    "trials-opened": _with(trials=_list_of(_TRIAL)),
    "attempt-failed": lambda value: _TIMED(value) and _with(failure=_is_text, details=_is_mapping)(value),
    "trial-ended": lambda value: _TIMED(value) and _is_observation(value.get("observation")),
}
