"""Laws that hold for every sequence of changes, tried on a served house; after each step the database is opened and looked into."""

import itertools
import json
from collections.abc import Iterator
from typing import ClassVar

import httpx
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from keyhouse.domain.credentials import MASK
from keyhouse.domain.model_provider import ModelProvider
from keyhouse.domain.provider_spec import ProviderSpec
from tests.conftest import ServedHouse
from tests.laws.examples import CHOSEN, SPECS, USABLE, bodies, valid_credentials
from tests.laws.laws import content, require_lawful, require_no_mask, without_nulls
from tests.laws.opened import OpenedDatabase, opened_database


class Changes(RuleBasedStateMachine):
    """Any sequence of writes to one provider."""

    admin: ClassVar[httpx.Client]
    client: ClassVar[httpx.Client]
    database: ClassVar[OpenedDatabase]
    names: ClassVar[Iterator[int]] = itertools.count()

    @initialize(spec=st.sampled_from(CHOSEN))
    def begin(self, spec: ProviderSpec) -> None:
        self.spec = spec
        self.path = f"/api/model-providers/{spec.id}"
        new = {"name": f"Project {next(self.names)}", "language": "python", "framework": "none", "newTeamName": f"Team {next(self.names)}"}
        project = self.admin.post("/api/projects", json=new).json()
        self.client.headers["X-Auth-Token"] = project["serviceApiKey"]
        self.database.project_id = project["id"]

    @rule(data=st.data())
    def put(self, data: st.DataObject) -> None:
        body = data.draw(bodies(self.spec))
        before = self.database.provider(self.spec.id)
        answer = self.client.put(self.path, content=json.dumps(body), headers={"content-type": "application/json"})
        after = self.database.provider(self.spec.id)
        assert answer.status_code in (200, 400), answer.text
        if answer.status_code == 400:
            assert after == before
        else:
            require_lawful(self.spec, body, before, after)

    @rule()
    def put_what_get_returned(self) -> None:
        listed = self.client.get("/api/model-providers")
        changes = self.client.get(f"{self.path}/history").json()["pagination"]["total"]
        before = self.database.provider(self.spec.id)
        answer = self.client.put(self.path, json=without_nulls(self.client.get(self.path).json()))
        assert answer.status_code == 200, answer.text
        assert (answer.headers["etag"], answer.content) == (listed.headers["etag"], listed.content)
        assert self.client.get(f"{self.path}/history").json()["pagination"]["total"] == changes
        assert self.database.provider(self.spec.id) == before

    @rule(data=st.data())
    def roll_back(self, data: st.DataObject) -> None:
        entries = self.client.get(f"{self.path}/history?limit=1000").json()["data"]
        if not entries:
            return
        version = data.draw(st.sampled_from([entry["version"] for entry in entries]))
        wanted = {state.version: state for state in self.database.history(self.spec.id)}[version]
        before = self.database.provider(self.spec.id)
        answer = self.client.post(f"{self.path}/rollback", json={"version": version})
        assert answer.status_code in (200, 409), answer.text
        after = self.database.provider(self.spec.id)
        if answer.status_code == 409:
            assert after == before
        else:
            assert content(after) == content(wanted)

    @rule()
    def delete(self) -> None:
        stored = self.database.provider(self.spec.id).is_stored
        assert self.client.delete(self.path).status_code == (200 if stored else 404)
        assert self.database.provider(self.spec.id) == ModelProvider(self.spec.id)
        assert all(not state.credentials.opened() for state in self.database.history(self.spec.id))

    @invariant()
    def nothing_is_shown_that_is_secret(self) -> None:
        shown = self.client.get(self.path).json()
        stored = self.database.provider(self.spec.id)
        for name, value in (shown["customKeys"] or {}).items():
            assert value == (stored.credentials.get(name) if self.spec.is_public(name) else MASK)
        assert [(header["key"], header["value"]) for header in shown["extraHeaders"]] == [(h.name, MASK) for h in stored.extra_headers]

    @invariant()
    def no_mask_was_stored(self) -> None:
        for state in [self.database.provider(self.spec.id), *self.database.history(self.spec.id)]:
            require_no_mask(state)


def test_laws_hold_for_any_sequence_of_changes(shared_sqlite_house: ServedHouse) -> None:
    with opened_database(shared_sqlite_house) as database:
        Changes.admin, Changes.client = shared_sqlite_house.client(shared_sqlite_house.keys.admin_key), shared_sqlite_house.client()
        Changes.database = database
        run_state_machine_as_test(
            Changes,
            settings=settings(max_examples=60, stateful_step_count=15, suppress_health_check=list(HealthCheck)),
        )


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.id)
def test_every_provider_is_stored_and_shown_masked(shared_sqlite_house: ServedHouse, spec: ProviderSpec) -> None:
    client = shared_sqlite_house.client()
    path = f"/api/model-providers/{spec.id}"
    client.delete(path)
    given = valid_credentials(spec)
    answer = client.put(path, json={"enabled": True, "customKeys": given})
    if spec.deprecated:
        assert (answer.status_code, answer.json()["error"]) == (400, "This model provider is no longer available to add.")
        return
    assert answer.status_code == 200, answer.text
    entry = client.get(path).json()
    assert answer.json()[spec.id] == entry
    assert entry["customKeys"] == {field.name: given[field.name] if field.public else MASK for field in spec.fields}
    assert all(given[field.name] not in answer.text for field in spec.fields if not field.public)
    with opened_database(shared_sqlite_house) as database:
        assert database.provider(spec.id).credentials.opened() == given


@pytest.mark.parametrize("spec", [spec for spec in USABLE if any(field.required for field in spec.fields)], ids=lambda spec: spec.id)
def test_every_provider_names_the_required_field_that_is_missing(shared_sqlite_house: ServedHouse, spec: ProviderSpec) -> None:
    client = shared_sqlite_house.client()
    path = f"/api/model-providers/{spec.id}"
    for field in (field for field in spec.fields if field.required):
        client.delete(path)
        keys = {name: value for name, value in valid_credentials(spec).items() if name != field.name}
        answer = client.put(path, json={"enabled": True, "customKeys": keys})
        assert (answer.status_code, answer.json()["fields"]) == (400, [f"customKeys.{field.name}"])
        assert answer.json()["error"] == f"Invalid API key configuration for {spec.id}. Please verify your credentials."
        assert all(value not in answer.text for value in keys.values())
