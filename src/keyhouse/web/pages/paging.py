"""Lists that are longer than a page, and the search in them by name."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

from starlette.responses import Response

from keyhouse.domain.paging import Paging
from keyhouse.web.pages.rendering import moved, page
from keyhouse.web.pages.visit import Visit

T = TypeVar("T")
Ask = Callable[[Paging], Awaitable[tuple[Sequence[T], int]]]
"""From a page of a list to its entries, and how much there is in all."""
PER_PAGE = 50
_AT_ONCE = 10_000


def list_page(visit: Visit, template: str, total: int, /, status: int = 200, per_page: int = PER_PAGE, **values: Any) -> Response:
    """The page of a list that the address asks for; where the list ends before it, on to its last one."""
    number, pages = visit.page_number(), max(1, -(-total // per_page))
    if number > pages:
        return moved(visit.request, f"{visit.request.url.path}{visit.at_page(pages)}")
    return page(visit, template, status, number=number, pages=pages, **values)


async def listed(visit: Visit, ask: Ask[T], named: Callable[[T], str]) -> tuple[Sequence[T], int, int]:
    """What the page shows of a list, how much a search found, and how much there is. `named` gives the text in which is searched."""
    number, wanted = visit.page_number(), visit.wanted.casefold()
    if not wanted:
        items, total = await ask(Paging(number, PER_PAGE))
        return items, total, total
    items = await whole(ask)
    found = [item for item in items if wanted in named(item).casefold()]
    return found[(number - 1) * PER_PAGE : number * PER_PAGE], len(found), len(items)


async def whole(ask: Ask[T]) -> list[T]:
    """A list from its beginning to its end."""
    items: list[T] = []
    total, asked = 1, 0
    while asked * _AT_ONCE < total:
        asked += 1
        page_of_it, total = await ask(Paging(asked, _AT_ONCE))
        items += page_of_it
        await asyncio.sleep(0)  # on SQLite nothing else has had a turn meanwhile
    return items
