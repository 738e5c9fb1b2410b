"""`keyhouse audit`: every write of an organization and every showing of a project's key, newest first."""

from keyhouse.cli.options import AsJson, Limit, OrganizationPlace, Page
from keyhouse.cli.output import print_json, print_page


def audit(place: OrganizationPlace, page: Page = 1, limit: Limit = 50, as_json: AsJson = False) -> None:
    """List every write of the organization and every showing of a project's key, newest first: who, when, what."""
    from keyhouse.cli.house import opened

    with opened(place) as house:
        answer = house.page("/api/audit", "organization", page, limit)
    if as_json:
        print_json(answer)
        return
    print_page(("at", "by", "action", "target"), answer, lambda each: (each["at"], each["actor"]["name"], each["action"], each["target"]))
