"""`keyhouse audit`: every write of an organization and every showing of a project's key, newest first."""

from keyhouse.cli.options import AsJson, OrganizationPlace, Paged
from keyhouse.cli.output import print_page


def audit(place: OrganizationPlace, paged: Paged, as_json: AsJson = False) -> None:
    """List every write of the organization and every showing of a project's key, newest first: who, when, what."""
    from keyhouse.cli.house import opened

    with opened(place) as house:
        answer = house.page("/api/audit", "organization", paged)
    print_page(
        answer,
        ("at", "by", "action", "target"),
        lambda each: (each["at"], each["actor"]["name"], each["action"], each["target"]),
        as_json=as_json,
    )
