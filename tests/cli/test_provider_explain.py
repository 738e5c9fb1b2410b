"""`keyhouse provider explain`, over the data folder and against a server: which provider a name means, and why."""

import json

from tests.cli.conftest import Furnished, Keyhouse
from tests.models_file import ENDED, LASTING, write_models_file

SECRET = "sk-planted-secret"


def test_a_name_is_explained_without_calling_anybody(keyhouse: Keyhouse) -> None:
    assert keyhouse("provider", "set", "openai", "--secret", "OPENAI_API_KEY=-", "--model", "ours", stdin=SECRET).code == 0
    for name, rule in (("openai/gpt-5", "named"), ("ours", "declared"), ("gpt-5", "catalogue"), ("gpt-of-tomorrow", "prefix")):
        told = json.loads(keyhouse("provider", "explain", name, "--json").out)
        assert (told["provider"], told["model_id"], told["rule"]) == ("openai", name.removeprefix("openai/"), rule)
    for_people = keyhouse("provider", "explain", "ours")
    assert "The project declares this model for the provider." in for_people.out
    assert "chat" in for_people.out


def test_a_name_that_means_nothing_ends_with_what_would_work(keyhouse: Keyhouse) -> None:
    refused = keyhouse("provider", "explain", "unheard/of")
    assert refused.code == 1
    assert "No provider is enabled in this project" in refused.sentence


def test_the_day_on_which_a_provider_ends_the_model_is_told(furnished: Furnished) -> None:
    variables = {"KEYHOUSE_MODELS_FILE": str(write_models_file(furnished.folder, ENDED, LASTING))}
    stored = furnished.run(furnished.folder, "provider", "set", "openai", "--secret", "OPENAI_API_KEY=-", stdin=SECRET, **variables)
    assert stored.code == 0
    ended, lasting = (
        furnished.run(furnished.folder, "provider", "explain", name, **variables).out for name in ("gpt-ended", "gpt-lasting")
    )
    assert "retires on   2001-02-03" in ended
    assert "retires" not in lasting
    told = json.loads(furnished.run(furnished.folder, "provider", "explain", "gpt-ended", "--json", **variables).out)
    assert told["retires_on"] == "2001-02-03"
