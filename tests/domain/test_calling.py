"""Routes, addresses and signatures, pure."""

import pytest

from keyhouse.domain.calling import Calling, Endpoint, Route, Signing


def test_first_route_whose_conditions_hold_is_taken() -> None:
    gateway = Route(when={"GATEWAY": ("*",)})
    plain = Route(when={"VERSION": ("", "v1")})
    dated = Route()
    calling = Calling(routes=(gateway, plain, dated))

    assert calling.route(calling.values({"GATEWAY": "https://one.example", "VERSION": "2"})) is gateway
    assert calling.route(calling.values({})) is plain
    assert calling.route(calling.values({"VERSION": "v1"})) is plain
    assert calling.route(calling.values({"VERSION": "2"})) is dated


def test_blank_values_count_as_not_stored_and_defaults_stand_in() -> None:
    calling = Calling(routes=(Route(when={"REGION": ("*",)}),), defaults={"REGION": "north"})

    assert calling.values({"REGION": "  ", "KEY": "", "OTHER": "x"}) == {"REGION": "north", "OTHER": "x"}
    assert calling.values({"REGION": "south"}) == {"REGION": "south"}


def test_without_a_fitting_route_there_is_none() -> None:
    assert Calling(routes=(Route(when={"GATEWAY": ("*",)}),)).route({}) is None


def test_endpoint_is_chosen_by_model() -> None:
    special, general = Endpoint("/a", "openai_chat", models=("one-*", "*.one-*")), Endpoint("/b", "openai_chat")
    route = Route(endpoints={"chat": (special, general), "responses": (special,)})

    assert route.endpoint("chat", "eu.one-2") is special
    assert route.endpoint("chat", "two") is general
    assert route.endpoint("responses", "two") is None
    assert route.endpoint("rerank", "two") is None


def test_model_gets_the_prefix_unless_it_names_its_publisher() -> None:
    endpoint = Endpoint("/", "openai_chat", model_prefix="google/")

    assert endpoint.upstream_model("gemini") == "google/gemini"
    assert endpoint.upstream_model("meta/llama") == "meta/llama"


@pytest.mark.parametrize(
    ("model", "segment"),
    [("a/../../x", "a%2F..%2F..%2Fx"), ("dep?api-version=", "dep%3Fapi-version%3D"), ("x:0", "x%3A0"), ("é#", "%C3%A9%23"), ("...", "...")],
)
def test_model_in_a_path_is_always_percent_encoded(model: str, segment: str) -> None:
    assert Route().url("/deployments/{model}/chat", {}, "https://one.example/", model) == f"https://one.example/deployments/{segment}/chat"


@pytest.mark.parametrize("model", [".", ".."])
def test_model_that_would_climb_in_the_path_is_refused(model: str) -> None:
    with pytest.raises(ValueError, match="dot segment"):
        Route().url("/deployments/{model}/chat", {}, "https://one.example", model)


@pytest.mark.parametrize("region", ["evil.example/", "x.evil.example#", "a@evil.example", "a:80", "a.b", "a b", "é", "a\n"])
def test_value_that_could_name_another_host_is_refused(region: str) -> None:
    with pytest.raises(ValueError, match="REGION must hold letters, digits and hyphens only"):
        Route(base_url="https://api.{REGION}.example").url("/x", {"REGION": region}, None)


def test_stored_value_in_a_path_is_percent_encoded() -> None:
    route = Route(base_url="https://one.example")

    assert route.url("/projects/{PROJECT}/x", {"PROJECT": "a/../b?"}, None) == "https://one.example/projects/a%2F..%2Fb%3F/x"


def test_value_that_is_not_stored_is_an_error_and_so_is_no_address() -> None:
    with pytest.raises(ValueError, match="PROJECT is not stored"):
        Route(base_url="https://one.example").url("/{PROJECT}", {}, None)
    with pytest.raises(ValueError, match="no address is stored"):
        Route().url("/x", {}, None)


def test_stored_address_is_no_template() -> None:
    assert Route().url("/chat", {"KEY": "secret"}, "https://one.example/{KEY}/") == "https://one.example/{KEY}/chat"


def test_absolute_path_leaves_the_address_aside_and_query_follows() -> None:
    route = Route(query={"api-version": "{VERSION}", "empty": "{MISSING}"})

    assert route.url("https://other.example/models", {"VERSION": "1&x"}, "https://one.example") == (
        "https://other.example/models?api-version=1%26x"
    )


def test_fixed_headers_without_a_value_are_left_out() -> None:
    route = Route(headers={"version": "2023", "account": "{ACCOUNT}"})

    assert route.rendered_headers({}) == {"version": "2023"}
    assert route.rendered_headers({"ACCOUNT": "a1"}) == {"version": "2023", "account": "a1"}


def test_signature_needs_its_key_but_neither_session_nor_region() -> None:
    parts = {"access_key_id": "ID", "secret_access_key": "SECRET", "session_token": "SESSION", "region": "REGION"}
    signing = Signing("aws_sigv4", parts, service="bedrock")

    assert signing.is_possible({"ID": "a", "SECRET": "b"})
    assert not signing.is_possible({"ID": "a", "SESSION": "c"})
