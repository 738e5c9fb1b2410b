"""What a caller may do where."""

import pytest

from keyhouse.domain.errors import Code, Error
from keyhouse.domain.tenancy import Actor, Caller, Permission, Place, Role, RoleBinding, ScopeType
from keyhouse.services.rights import require, require_anywhere, require_organization_admin, viewable_scopes

ORGANIZATION, TEAM, PROJECT = (
    RoleBinding(Role.ADMIN, ScopeType.ORGANIZATION, "o"),
    RoleBinding(Role.MEMBER, ScopeType.TEAM, "t"),
    RoleBinding(Role.VIEWER, ScopeType.PROJECT, "p"),
)
HERE = Place("o", "t", "p")


def caller(*bindings: RoleBinding, restricted_to: frozenset[Permission] | None = None, organization: str = "o") -> Caller:
    return Caller(Actor("k", "key"), organization, bindings=bindings, restricted_to=restricted_to)


@pytest.mark.parametrize(
    ("binding", "permission", "place", "allowed"),
    [
        (ORGANIZATION, Permission.DELETE, HERE, True),
        (ORGANIZATION, Permission.VIEW, Place("x", "t", "p"), False),
        (TEAM, Permission.UPDATE, HERE, True),
        (TEAM, Permission.MANAGE, HERE, False),
        (TEAM, Permission.VIEW, Place("o"), False),
        (TEAM, Permission.VIEW, Place("o", "other", "p"), False),
        (PROJECT, Permission.VIEW, HERE, True),
        (PROJECT, Permission.UPDATE, HERE, False),
        (PROJECT, Permission.VIEW, Place("o", "t"), False),
    ],
)
def test_right_holds_within_the_scope_of_its_binding(binding: RoleBinding, permission: Permission, place: Place, allowed: bool) -> None:
    if allowed:
        require(caller(binding), permission, place)
        return
    with pytest.raises(Error) as refused:
        require(caller(binding), permission, place)
    assert (refused.value.code, refused.value.message) == (
        Code.INSUFFICIENT_PERMISSIONS,
        f"Insufficient permissions. Required: {permission}",
    )


def test_restriction_takes_away_and_never_gives() -> None:
    only_view = frozenset({Permission.VIEW, Permission.UPDATE})
    assert caller(ORGANIZATION, restricted_to=only_view).permissions_at(HERE) == only_view
    assert caller(PROJECT, restricted_to=only_view).permissions_at(HERE) == {Permission.VIEW}


@pytest.mark.parametrize(
    "lesser",
    [
        caller(RoleBinding(Role.ADMIN, ScopeType.TEAM, "o")),
        caller(RoleBinding(Role.MEMBER, ScopeType.ORGANIZATION, "o")),
        caller(ORGANIZATION, restricted_to=frozenset(Permission)),
        caller(ORGANIZATION, organization="other"),
        caller(),
    ],
)
def test_admin_is_unrestricted_on_its_own_whole_organization(lesser: Caller) -> None:
    require_organization_admin(caller(TEAM, ORGANIZATION))
    with pytest.raises(Error) as refused:
        require_organization_admin(lesser)
    assert refused.value.code is Code.INSUFFICIENT_PERMISSIONS


def test_a_right_at_any_place_is_a_right_somewhere() -> None:
    require_anywhere(caller(PROJECT, TEAM), Permission.UPDATE)
    for lesser in (caller(PROJECT), caller(TEAM, restricted_to=frozenset({Permission.VIEW})), caller()):
        with pytest.raises(Error):
            require_anywhere(lesser, Permission.UPDATE)


def test_only_what_may_be_viewed_is_listed() -> None:
    assert viewable_scopes(caller(TEAM, PROJECT, TEAM)) == ("t", "p")
    assert viewable_scopes(caller(ORGANIZATION, restricted_to=frozenset({Permission.UPDATE}))) == ()
