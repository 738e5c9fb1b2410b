"""The splice of `model`: equal to decoding, replacing and encoding, and no other byte changed."""

import gzip
import json

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from keyhouse.domain.errors import Code, Error
from keyhouse.gateway.wire.splice import MAXIMUM_TOP_LEVEL_KEYS, WATCHED, parse_head, with_model

texts = st.text(st.characters(codec="utf-8"), max_size=8)
names = st.one_of(texts, st.sampled_from([*WATCHED, 'x"model', "model\\", 'a"model":', "mode", "Model"]))
values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-(1 << 53), 1 << 53), st.floats(allow_nan=False, allow_infinity=False), names),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(names, inner, max_size=4)),
    max_leaves=12,
)
objects = st.builds(
    lambda members, watched: {**members, **watched},
    st.dictionaries(names, values, max_size=6).map(lambda members: {name: value for name, value in members.items() if name not in WATCHED}),
    st.fixed_dictionaries(
        {},
        optional={
            "model": st.one_of(st.none(), texts),
            "stream": st.one_of(st.none(), st.booleans()),
            "max_tokens": values,
            "max_completion_tokens": values,
            "drop_tuning_params": st.one_of(st.none(), st.booleans()),
        },
    ),
)
spacing = st.sampled_from([(",", ":"), (", ", ": "), (" ,\n", "\t:\r\n ")])


@st.composite
def bodies(draw):
    members = draw(objects)
    shuffled = {name: members[name] for name in draw(st.permutations(sorted(members)))}
    text = json.dumps(shuffled, separators=draw(spacing), ensure_ascii=draw(st.booleans()))
    return members, (draw(st.sampled_from(["", " ", "\n\t"])) + text + draw(st.sampled_from(["", "\n"]))).encode()


@given(bodies(), texts)
@example(({"drop_tuning_params": True}, b'{"drop_tuning_params": true}'), "m")
@example(({"model": None, "drop_tuning_params": None}, b'{"model":null,"drop_tuning_params":null}'), "m")
@example(({"a": {"model": "b"}}, b'{"a":{"model":"b"}}'), "m")
def test_splice_equals_decode_replace_encode(case, model):
    members, body = case
    head = parse_head(body)
    spliced = with_model(body, head, model)
    expected = {name: value for name, value in members.items() if name != "drop_tuning_params"}
    assert json.loads(spliced) == {**expected, "model": model}
    assert (head.model, head.stream) == (members.get("model"), members.get("stream") is True)
    assert (head.drop_member is None) == ("drop_tuning_params" not in members)


@given(bodies(), texts)
def test_all_other_bytes_stay(case, model):
    members, body = case
    head = parse_head(body)
    if "drop_tuning_params" in members or not isinstance(members.get("model"), str):
        return
    place = head.model_member
    assert json.loads(body[place.value : place.end]) == members["model"]
    if members["model"] == model:
        assert with_model(body, head, model) is body
    else:
        assert with_model(body, head, model) == body[: place.value] + msgspec.json.encode(model) + body[place.end :]


def outcome(body: bytes) -> Code | None:
    try:
        parse_head(body)
    except Error as error:
        return error.code
    return None


@given(st.one_of(st.binary(max_size=60), values.map(lambda value: json.dumps(value).encode())))
def test_any_bytes_are_read_or_refused_by_name(body):
    assert outcome(body) in (None, Code.MALFORMED_REQUEST, Code.BAD_REQUEST)


def refused(body: bytes) -> Error:
    with pytest.raises(Error) as raised:
        parse_head(body)
    return raised.value


def test_what_is_wrong_with_a_body_is_said():
    assert refused(b'{"model":1}').message == "model must be a string."
    assert refused(b'{"stream":"yes"}').message == "stream must be true or false."
    assert refused(b"{").message == "The body is not JSON."


@pytest.mark.parametrize("name", WATCHED)
@pytest.mark.parametrize("between", [b"", b'"a":1,', b'"a":{"x":[1,2,{"b":"}"}]},', b'"\\u00e9":"\\\\",'])
def test_repeated_keys_are_refused(name, between):
    value = {"model": b'"m"'}.get(name, b"true" if name in ("stream", "drop_tuning_params") else b"1")
    member = b'"%b":%b' % (name.encode(), value)
    error = refused(b"{%b,%b%b}" % (member, between, member))
    assert (error.code, error.details["param"]) == (Code.BAD_REQUEST, name)


def test_repeated_keys_are_refused_in_large_bodies_too():
    filler = b'"a":"%b",' % (b"x" * 70_000)
    assert refused(b'{"model":"m",%b"model":"n"}' % filler).details["param"] == "model"
    every = json.dumps({"model": "m", "stream": True, "max_tokens": 1, "max_completion_tokens": 1, "max_output_tokens": 1}).encode()
    assert refused(every[:-1] + b',"drop_tuning_params":true,%b"model":"n"}' % filler).details["param"] == "model"
    assert parse_head(b'{"tools":[{"model":1},{"model":2}],%b"model":"n"}' % filler).model == "n"
    nested = b",".join([b'{"model":1}'] * 5000)
    assert parse_head(b'{"tools":[%b],%b"model":"n"}' % (nested, filler)).model == "n"


@pytest.mark.parametrize("name", WATCHED)
@pytest.mark.parametrize("place", [0, -1])
@pytest.mark.parametrize("form", ["\\u%04x", "\\u%04X"])
def test_keys_spelt_with_escapes_are_refused(name, place, form):
    letters = list(name)
    letters[place] = form % ord(letters[place])
    value = {"model": '"m"'}.get(name, "true" if name in ("stream", "drop_tuning_params") else "1")
    error = refused(f'{{"a":1,"{"".join(letters)}":{value}}}'.encode())
    assert (error.code, error.details["param"]) == (Code.BAD_REQUEST, name)


def test_escaped_top_level_key_does_not_lend_its_place_to_a_nested_one():
    assert refused(b'{"a":{"model":"inner"},"mod\\u0065l":"outer"}').details["param"] == "model"


@pytest.mark.parametrize(
    "body",
    [
        b'{"tools":[{"model":"t"}],"model":"m"}',
        b'{"model":"m","tools":[{"model":"t"}]}',
        b'{"x\\"model":"a","model":"m"}',
        b'{"x\\\\":"a","model":"m"}',
        b'{"messages":"say \\"model\\": \\"x\\"","model":"m"}',
        b'{"a":"\\u006d","model":"m"}',
        b'{"a":{"mod\\u0065l":"x"},"model":"m"}',
        b'{"a":1,"a":[2],"tools":{"model":1},"model":"m"}',
        b'{"stop":"model","model":"m"}',
        b'{"model" : "m" ,"tools":{"model" : 1}}',
    ],
)
def test_only_the_model_of_the_top_level_is_read_and_replaced(body):
    head = parse_head(body)
    assert head.model == "m"
    assert with_model(body, head, "gpt-6") == body[: head.model_member.value] + b'"gpt-6"' + body[head.model_member.end :]
    assert json.loads(with_model(body, head, "gpt-6"))["model"] == "gpt-6"


def test_model_that_needs_escapes_is_encoded():
    body = b'{"model":"m"}'
    assert json.loads(with_model(body, parse_head(body), 'a"\\\n')) == {"model": 'a"\\\n'}


@pytest.mark.parametrize(
    ("body", "code", "param"),
    [
        (b"", Code.MALFORMED_REQUEST, None),
        (b"{", Code.MALFORMED_REQUEST, None),
        (b'{"model":"m"} x', Code.MALFORMED_REQUEST, None),
        (b"[" * 5000, Code.BAD_REQUEST, None),
        (b'{"a":' + b"[" * 1_000_000 + b"]" * 1_000_000 + b"}", Code.MALFORMED_REQUEST, None),
        (b'{"model":"\xb5"}', Code.MALFORMED_REQUEST, None),
        (b'{"mod\\u0065l\xb5":"m","model":"m"}', Code.MALFORMED_REQUEST, None),
        (b"[]", Code.BAD_REQUEST, None),
        (b'"model"', Code.BAD_REQUEST, None),
        (b'{"model":5}', Code.BAD_REQUEST, "model"),
        (b'{"stream":"yes"}', Code.BAD_REQUEST, "stream"),
        (b'{"drop_tuning_params":0}', Code.BAD_REQUEST, "drop_tuning_params"),
    ],
)
def test_other_bodies_are_refused_by_name(body, code, param):
    error = refused(body)
    assert (error.code, error.details.get("param")) == (code, param)


def test_walk_is_bounded():
    many = b",".join(b'"k%d":0' % number for number in range(MAXIMUM_TOP_LEVEL_KEYS + 1))
    assert "members" in refused(b'{"t":{"model":1},"model":"m",' + many + b"}").message


@pytest.mark.parametrize(
    ("body", "without"),
    [
        (b'{"drop_tuning_params": false, "model":"m"}', b'{ "model":"m"}'),
        (b'{"model":"m" , "drop_tuning_params": false }', b'{"model":"m" }'),
        (b'{"model":"m","drop_tuning_params":true,"a":1}', b'{"model":"m","a":1}'),
    ],
)
def test_drop_tuning_params_never_reaches_an_upstream(body, without):
    head = parse_head(body)
    spliced = with_model(body, head, "m")
    assert json.loads(spliced) == json.loads(without)
    assert b"drop_tuning_params" not in spliced


def test_body_of_the_largest_size_is_spliced_whole():
    image = b"A" * (32 << 20)
    body = b'{"messages":[{"role":"user","content":"' + image + b'"}],"model":"m"}'
    spliced = with_model(body, parse_head(body), "gpt-6")
    assert spliced.endswith(image + b'"}],"model":"gpt-6"}')
    assert len(spliced) == len(body) + 4


def test_a_byte_order_mark_is_told_of():
    with pytest.raises(Error) as raised:
        parse_head(b'\xef\xbb\xbf{"model":"m"}')
    assert raised.value.code == Code.MALFORMED_REQUEST
    assert "byte order mark" in raised.value.message


@pytest.mark.parametrize("packed", [gzip.compress(b'{"model":"m"}', mtime=0), b"\x28\xb5\x2f\xfd\x20\x0d"], ids=["gzip", "zstd"])
def test_a_compressed_body_is_told_of(packed):
    with pytest.raises(Error, match="compressed") as raised:
        parse_head(packed)
    assert raised.value.code is Code.MALFORMED_REQUEST


def test_half_a_character_in_a_body_is_named():
    with pytest.raises(Error, match="half alone") as raised:
        parse_head(b'{"model":"m","messages":[{"role":"user","content":"x\\ud83d"}]}')
    assert raised.value.code is Code.MALFORMED_REQUEST
    with pytest.raises(Error) as raised:
        parse_head(b'{"model":')
    assert "half" not in raised.value.message
