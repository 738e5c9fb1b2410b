"""Pages of lists: `page` from 1, `limit` from 1 to 1000."""

from collections.abc import Mapping

from pydantic import BaseModel, Field

from keyhouse.domain.errors import schema_failure
from keyhouse.domain.paging import Paging
from keyhouse.web.whole_numbers import whole_number

_LARGEST_PAGE = 2**31 - 1
_LARGEST_LIMIT = 1000


class PageQuery(BaseModel):
    """Which part of a list is asked for, as the API document states it."""

    page: int = Field(default=1, ge=1, le=_LARGEST_PAGE)
    limit: int = Field(default=50, ge=1, le=_LARGEST_LIMIT)


def paging_of(query: Mapping[str, str]) -> Paging:
    """The page that a query asks for. Raises Error `validation_error` outside the limits."""
    return Paging(_whole_number(query, "page", 1, _LARGEST_PAGE), _whole_number(query, "limit", 50, _LARGEST_LIMIT))


def _whole_number(query: Mapping[str, str], name: str, default: int, largest: int) -> int:
    number = whole_number(query[name]) if name in query else default
    if number is None or not 1 <= number <= largest:
        raise schema_failure([(name, "number_range", f"must be a whole number from 1 to {largest}")])
    return number
