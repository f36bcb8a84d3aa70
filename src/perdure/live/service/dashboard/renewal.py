"""How often a page is made anew: looking costs at most a small share of the time."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Mapping
from typing import Final
from weakref import WeakKeyDictionary

from perdure.live.service.dashboard.pages import Look, Page, render_parts
from perdure.live.service.service import Service

SHARE: Final = 0.05
"""Of the time, spent for one who looks at one page."""
LONGEST: Final = 10.0
"""Seconds that a page may be old."""
PAGES: Final = 64
"""Pages in memory, of all who look."""

Parts = Mapping[str, str]
Held = OrderedDict[tuple[str, ...], tuple[float, Parts]]  # good until, what

_HELD: WeakKeyDictionary[Service, Held] = WeakKeyDictionary()


def renewed(page: Page, look: Look) -> Parts:
    """The parts of a page, at most `LONGEST` seconds old; now, where the query says `fresh`."""
    pages = _HELD.setdefault(look.service, OrderedDict())
    query = {name: value for name, value in look.said.items() if name not in ("seen", "fresh")}
    who = (look.caller.name, str(look.operates))
    key = (page.name, *who, look.root, repr(sorted(query.items())))
    start = time.monotonic()
    until, parts = pages.get(key, (0.0, {}))
    if start < until and "fresh" not in look.said:
        return parts
    parts = render_parts(page, look)
    end = time.monotonic()
    pages[key] = (end + min((end - start) / SHARE, LONGEST), parts)
    while len(pages) > PAGES:
        pages.popitem(last=False)
    return parts
