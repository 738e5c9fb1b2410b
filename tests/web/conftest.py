"""What the tests of the API share."""

import httpx
import pytest

from tests.conftest import ServedHouse
from tests.web.tenant import new_tenant


@pytest.fixture
def client(shared_house: ServedHouse) -> httpx.Client:
    """A client with the key of a project of the test's own, in a house that the tests of a module share."""
    tenant = new_tenant(shared_house)
    return shared_house.client(tenant.project_key(tenant.project()["id"]))
