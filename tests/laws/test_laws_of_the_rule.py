"""The laws of PUT for the pure rule alone: no house, so many more cases in the same time."""

import json
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from keyhouse.domain.errors import Error
from keyhouse.domain.model_provider import ModelProvider
from keyhouse.domain.provider_spec import ProviderSpec
from keyhouse.web.control.schemas import EntryEncoder, ModelProviderBody, to_update
from tests.laws.examples import CATALOG, CHOSEN, Body, bodies
from tests.laws.laws import require_lawful, without_nulls

ENCODER = EntryEncoder(CATALOG)


def put(provider: ModelProvider, body: Body, spec: ProviderSpec) -> ModelProvider:
    after = provider.updated(to_update(ModelProviderBody.model_validate(body)), spec)
    return replace(after, id="provider_1")


@given(data=st.data(), spec=st.sampled_from(CHOSEN))
@settings(max_examples=600)
def test_laws_hold_for_any_sequence_of_puts(data: st.DataObject, spec: ProviderSpec) -> None:
    provider = ModelProvider(spec.id)
    for body in data.draw(st.lists(bodies(spec), min_size=1, max_size=8)):
        try:
            after = put(provider, body, spec)
        except Error:
            continue
        require_lawful(spec, body, provider, after)
        shown = json.loads(ENCODER.encode_one(after))
        assert put(after, without_nulls(shown), spec) == after
        provider = after
