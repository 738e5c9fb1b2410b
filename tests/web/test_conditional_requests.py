"""Entity tags: what they name, when they change, and what a write that names one may do."""

import re

import httpx
import pytest

from tests.conftest import ServedHouse

LIST = "/api/model-providers"
OPENAI = f"{LIST}/openai"
GROQ = f"{LIST}/groq"


def stored(client: httpx.Client, key: str = "sk-1", path: str = OPENAI, **headers: str) -> httpx.Response:
    name = "OPENAI_API_KEY" if path == OPENAI else "GROQ_API_KEY"
    return client.put(path, json={"enabled": True, "customKeys": {name: key}}, headers=headers)


def test_every_success_names_its_state(client: httpx.Client) -> None:
    answers = [stored(client), client.get(LIST), client.get(OPENAI), stored(client, "sk-2")]
    answers += [client.post(f"{OPENAI}/rollback", json={"version": 1}), client.delete(OPENAI)]
    assert [answer.status_code for answer in answers] == [200] * 6
    assert all(re.fullmatch(r'"[^"]+"', answer.headers["etag"]) for answer in answers)


def test_a_write_answers_with_the_tag_that_the_list_then_has(client: httpx.Client) -> None:
    for write in (lambda: stored(client), lambda: client.post(f"{OPENAI}/rollback", json={"version": 1}), lambda: client.delete(OPENAI)):
        answer = write()
        listed = client.get(LIST)
        assert (answer.headers["etag"], answer.content) == (listed.headers["etag"], listed.content)


def test_tag_follows_a_secret_alone(client: httpx.Client) -> None:
    stored(client)
    before = client.get(LIST), client.get(OPENAI), client.get(GROQ)
    stored(client, "sk-2")
    after = client.get(LIST), client.get(OPENAI), client.get(GROQ)
    assert [answer.content for answer in before] == [answer.content for answer in after]
    assert [one.headers["etag"] != two.headers["etag"] for one, two in zip(before, after, strict=True)] == [True, True, False]


def test_a_write_that_changes_nothing_keeps_the_tag_and_makes_no_version(client: httpx.Client) -> None:
    first = stored(client)
    assert stored(client).headers["etag"] == first.headers["etag"]
    assert client.get(f"{OPENAI}/history").json()["pagination"]["total"] == 1


@pytest.mark.parametrize("path", [LIST, OPENAI])
def test_not_modified_has_no_body(client: httpx.Client, path: str) -> None:
    stored(client)
    tag = client.get(path).headers["etag"]
    for named in (tag, f"W/{tag}", f'"other", {tag}', "*"):
        answer = client.get(path, headers={"if-none-match": named})
        assert (answer.status_code, answer.content, answer.headers["etag"]) == (304, b"", tag)
        assert "content-type" not in answer.headers
    stored(client, "sk-2")
    assert client.get(path, headers={"if-none-match": tag}).status_code == 200


def test_a_cache_keeps_answers_for_their_own_credentials_only(shared_sqlite_house: ServedHouse) -> None:
    client = shared_sqlite_house.client()
    stored(client)
    first = client.get(LIST)
    for answer in (first, client.get(LIST, headers={"if-none-match": first.headers["etag"]})):
        assert answer.headers["cache-control"] == "private, no-cache"
        assert {name.strip() for name in answer.headers["vary"].split(",")} == {"authorization", "x-auth-token", "x-project-id"}


def test_what_has_no_tag_is_not_kept_and_nothing_is_sniffed(shared_sqlite_house: ServedHouse) -> None:
    client, nobody = shared_sqlite_house.client(), shared_sqlite_house.anonymous()
    stored(client)
    plain = [client.get(f"{OPENAI}/history"), nobody.get(LIST), client.get("/api/nothing"), client.put(OPENAI, json={})]
    assert [answer.headers["cache-control"] for answer in plain] == ["no-store"] * 4
    assert [answer.headers["x-content-type-options"] for answer in [*plain, client.get(LIST)]] == ["nosniff"] * 5


@pytest.mark.parametrize("path", [LIST, OPENAI])
def test_either_kind_of_tag_lets_a_write_go_on_once(client: httpx.Client, path: str) -> None:
    stored(client)
    tag = client.get(path).headers["etag"]
    assert stored(client, "sk-2", **{"if-match": tag}).status_code == 200
    late = stored(client, "sk-3", **{"if-match": tag})
    assert (late.status_code, late.json()["error"]) == (412, "precondition_failed")
    prefix = "openai." if path == LIST else ""
    assert late.json()["fields"] == [f"{prefix}customKeys.OPENAI_API_KEY"]


def test_a_failed_condition_changes_nothing(client: httpx.Client) -> None:
    stale = stored(client).headers["etag"]
    before = stored(client, "sk-2").headers["etag"]
    condition = {"if-match": stale}
    assert stored(client, "sk-3", **condition).status_code == 412
    assert client.delete(OPENAI, headers=condition).status_code == 412
    assert client.post(f"{OPENAI}/rollback", json={"version": 1}, headers=condition).status_code == 412
    assert client.get(LIST).headers["etag"] == before


def test_an_entry_tag_minds_no_other_provider_and_a_list_tag_does(client: httpx.Client) -> None:
    stored(client)
    entry, listed = client.get(OPENAI).headers["etag"], client.get(LIST).headers["etag"]
    stored(client, path=GROQ)
    assert stored(client, "sk-2", **{"if-match": listed}).json()["fields"] == ["groq.enabled", "groq.customKeys.GROQ_API_KEY"]
    assert stored(client, "sk-2", **{"if-match": entry}).status_code == 200
    assert stored(client, "sk-3", **{"if-match": entry}).json()["fields"] == ["customKeys.OPENAI_API_KEY"]


def test_asterisk_means_must_exist(client: httpx.Client) -> None:
    assert stored(client, **{"if-match": "*"}).status_code == 412
    stored(client)
    assert stored(client, "sk-2", **{"if-match": "*"}).status_code == 200


def test_an_asterisk_among_what_must_not_match_means_must_not_exist(client: httpx.Client) -> None:
    assert stored(client, **{"if-none-match": "*"}).status_code == 200
    tag = client.get(LIST).headers["etag"]
    late = stored(client, "sk-2", **{"if-none-match": "*"})
    assert (late.status_code, late.json()["error"], late.json()["fields"]) == (412, "precondition_failed", [])
    assert client.get(LIST).headers["etag"] == tag
    client.delete(OPENAI)
    assert stored(client, **{"if-none-match": "*"}).status_code == 200


def test_the_tag_of_a_provider_that_is_not_stored_means_must_not_exist(client: httpx.Client) -> None:
    absent = client.get(OPENAI).headers["etag"]
    assert stored(client, **{"if-match": absent}).status_code == 200
    assert stored(client, "sk-2", **{"if-match": absent}).status_code == 412


@pytest.mark.parametrize(
    "named", ["", '""', "nonsense", '"1', '"-1"', '"999999999999999999"', '"9999999999999999999999"', '"openai-"', "W/*", '"groq-1"']
)
def test_a_tag_that_names_nothing_of_ours_never_holds(client: httpx.Client, named: str) -> None:
    stored(client)
    assert stored(client, "sk-2", **{"if-match": named}).status_code == 412


def test_a_weak_tag_never_lets_a_write_go_on(client: httpx.Client) -> None:
    tag = stored(client).headers["etag"]
    assert stored(client, "sk-2", **{"if-match": f"W/{tag}"}).status_code == 412


def test_several_lines_of_tags_are_one_list(client: httpx.Client) -> None:
    tag = stored(client).headers["etag"]
    several = [("if-match", '"nothing"'), ("if-match", tag)]
    assert client.put(OPENAI, json={"enabled": False}, headers=several).status_code == 200
    assert (
        client.get(LIST, headers=[("if-none-match", '"nothing"'), ("if-none-match", client.get(LIST).headers["etag"])]).status_code == 304
    )


def test_a_deleted_and_stored_again_provider_has_a_new_tag(client: httpx.Client) -> None:
    stored(client)
    first = client.get(OPENAI).headers["etag"]
    client.delete(OPENAI)
    stored(client)
    assert client.get(OPENAI).headers["etag"] != first
    assert stored(client, "sk-2", **{"if-match": first}).status_code == 412


STALE = {"if-match": '"0"'}


def test_a_condition_is_asked_after_what_is_wrong_with_the_request(shared_house: ServedHouse, client: httpx.Client) -> None:
    put = {"headers": STALE, "json": {"enabled": True}}
    assert shared_house.anonymous().put(OPENAI, **put).status_code == 401
    assert client.put(OPENAI, headers={**STALE, "content-type": "application/json"}, content=b"{").status_code == 400
    assert client.put(OPENAI, headers=STALE, json={}).status_code == 422
    assert client.put(f"{LIST}/nonsense", **put).json()["error"] == "Invalid provider"
    assert "no longer available" in client.put(f"{LIST}/google_agent_platform", **put).json()["error"]
    assert client.delete(OPENAI, headers=STALE).status_code == 404
    assert client.delete(f"{LIST}/nonsense", headers=STALE).status_code == 404


def test_a_condition_is_asked_before_guards_and_rules(client: httpx.Client) -> None:
    stored(client)
    for keys in ({}, {"OPENAI_API_KEY": ""}, {"OPENAI_API_KEY": 1}, {"OPENAI_BASE_URL": "https://elsewhere.example"}):
        assert client.put(OPENAI, json={"enabled": True, "customKeys": keys}, headers=STALE).status_code == 412
        assert client.put(OPENAI, json={"enabled": True, "customKeys": keys}).status_code == 400
