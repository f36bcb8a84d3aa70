"""Numbers and times as people read them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final

from markupsafe import Markup, escape

NONE: Final = "–"  # noqa: RUF001
"""What stands where there is no number."""
MINUS: Final = "\u2212"

_SPANS: Final = ((86400, "d"), (3600, "h"), (60, "min"))
_PREFIXES: Final = ("", "k", "M", "G", "T", "P", "E")
_BINARY: Final = ("B", "KiB", "MiB", "GiB", "TiB")


def number(value: float | None, digits: int = 0) -> str:
    """With thousands set apart: 12 345."""
    return NONE if value is None else _signed(f"{value:,.{digits}f}").replace(",", "\u202f")


def short(value: float | None) -> str:
    """Three digits and a prefix: 1.23 M."""
    if value is None:
        return NONE
    power = 0
    while abs(value) >= 999.5 and power < len(_PREFIXES) - 1:
        value, power = value / 1000, power + 1
    if power == 0:
        return f"{value:.3g}"
    return f"{_three(value)}\u202f{_PREFIXES[power]}"


def percent(value: float | None, digits: int = 1) -> str:
    """A share as percent: 97.3 %."""
    return NONE if value is None else _signed(f"{value * 100:.{digits}f}\u202f%")


def points(value: float | None, digits: int = 1) -> str:
    """A difference of shares as percentage points, with its sign: +1.2 pp."""
    if value is None:
        return NONE
    rounded = round(value * 100, digits)
    sign = "±" if rounded == 0 else "+" if rounded > 0 else MINUS
    return f"{sign}{abs(rounded):.{digits}f}\u202fpp"


def signed(value: float, digits: int = 1) -> str:
    """A difference, with its sign: +1.2."""
    return points(value / 100, digits).removesuffix("\u202fpp")


def binary(value: float | None) -> str:
    """Bytes: 1.5 MiB."""
    if value is None:
        return NONE
    power = 0
    while abs(value) >= 1023.5 and power < len(_BINARY) - 1:
        value, power = value / 1024, power + 1
    return f"{_three(value) if power else f'{value:.0f}'}\u202f{_BINARY[power]}"


def duration(seconds: float | None) -> str:
    """A span of time in its two largest units: 2 min 5 s, 340 ms."""
    if seconds is None:
        return NONE
    if seconds < 0.9995:
        return f"{seconds * 1000:.0f}\u202fms"
    if seconds < 59.95:
        return f"{seconds:.1f}\u202fs"
    units = [*_SPANS, (1, "s")]
    whole = round(seconds)
    first = next(i for i, (size, _) in enumerate(units) if whole >= size)
    said = []
    for size, name in units[first : first + 2]:
        said.append(f"{whole // size}\u202f{name}")
        whole %= size
    return " ".join(part for part in said if not part.startswith("0"))


def ago(at: float | None, now: float) -> str:
    """How long before now: just now, 3 min ago, 2 d ago."""
    if at is None:
        return "never"
    passed = now - at
    if passed < -1:
        return f"in {duration(-passed).split(' ')[0]}"
    for size, name in _SPANS:
        if passed >= size:
            return f"{int(passed // size)}\u202f{name} ago"
    return "just now" if passed < 5 else f"{int(passed)}\u202fs ago"


def moment(at: float | None) -> str:
    """A time in full: 2025-01-31 12:00:05 UTC."""
    return "never" if at is None else f"{_utc(at):%Y-%m-%d %H:%M:%S} UTC"


def iso(at: float) -> str:
    """A time for programs."""
    return f"{_utc(at):%Y-%m-%dT%H:%M:%SZ}"


def plural(count: int, one: str, many: str | None = None) -> str:
    """A count with its noun: 1 row, 2 rows."""
    return f"{number(count)} {one if count == 1 else many or one + 's'}"


def sentence(text: str) -> str:
    """With a capital and a full stop."""
    said = text[:1].upper() + text[1:]
    return said if not said or said.endswith((".", "!", "?")) else said + "."


def code(text: str) -> Markup:
    """What stands between backticks as code; the rest is escaped."""
    parts = [escape(part) for part in text.split("`")]
    return Markup("").join(
        Markup("<code>{}</code>").format(part) if i % 2 else part for i, part in enumerate(parts)
    )


FILTERS: Final[dict[str, Callable[..., Any]]] = {
    function.__name__: function
    for function in (
        number,
        short,
        percent,
        points,
        signed,
        binary,
        duration,
        ago,
        moment,
        iso,
        plural,
        sentence,
        code,
    )
}
"""By the names that templates know them by."""


def _signed(text: str) -> str:
    """With a real minus sign, and none before zero."""
    bare = text.lstrip("-")
    return bare if bare == text or not any(c in "123456789" for c in text) else MINUS + bare


def _three(value: float) -> str:
    return f"{value:.{2 if abs(value) < 9.995 else 1 if abs(value) < 99.95 else 0}f}"


def _utc(at: float) -> datetime:
    return datetime.fromtimestamp(at, UTC)
