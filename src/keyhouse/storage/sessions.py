"""Sessions of people in a browser, and addresses that sign in once: each kept as the hash of its token, with the key that it stands for."""

from dataclasses import dataclass, field
from typing import Literal

from keyhouse.storage.clock import now_us
from keyhouse.storage.identifiers import Token, new_session_token
from keyhouse.storage.statements import Statement, Transaction, insert_into

SessionKind = Literal["session", "sign_in"]

_KEY = "organization_id, api_key_id, project_key_hash"
_LIVE = "FROM sessions WHERE hash = :hash AND kind = :kind AND expires_at > :now"
_INSERT = insert_into("sessions", f"hash, kind, {_KEY}, created_at, expires_at")
_FIND = Statement("SELECT", _KEY, _LIVE)
_TAKE = Statement("DELETE", _LIVE, "RETURNING", _KEY)
_DELETE = Statement("DELETE FROM sessions WHERE hash = :hash")
_DELETE_EXPIRED = Statement("DELETE FROM sessions WHERE expires_at <= :now")


@dataclass(frozen=True, slots=True)
class SessionKey:
    """The key that a session stands for: an API key by its id, or a project's key by its hash. What it may do is asked each time."""

    organization_id: str
    api_key_id: str | None = None
    project_key_hash: bytes | None = field(default=None, repr=False)


def put_session(tx: Transaction, key: SessionKey, kind: SessionKind, lifetime_s: int) -> Token:
    """Store a new session; returns its token, which is not stored. Those that have expired are forgotten."""
    token, now = new_session_token(), now_us()
    tx.run(_DELETE_EXPIRED, now=now)
    tx.run(
        _INSERT,
        hash=token.hash,
        kind=kind,
        organization_id=key.organization_id,
        api_key_id=key.api_key_id,
        project_key_hash=key.project_key_hash,
        created_at=now,
        expires_at=now + lifetime_s * 1_000_000,
    )
    return token


def find_session(tx: Transaction, digest: bytes) -> SessionKey | None:
    """What the session whose token has this hash stands for, unless it has expired."""
    row = tx.row(_FIND, hash=digest, kind="session", now=now_us())
    return None if row is None else SessionKey(*row)


def take_sign_in(tx: Transaction, digest: bytes) -> SessionKey | None:
    """What an address that signs in once stands for. It is used up."""
    row = tx.row(_TAKE, hash=digest, kind="sign_in", now=now_us())
    return None if row is None else SessionKey(*row)


def delete_session(tx: Transaction, digest: bytes) -> None:
    """End a session."""
    tx.run(_DELETE, hash=digest)
