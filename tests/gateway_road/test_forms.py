"""Forms on their way: the model is renamed and nothing else, and what two readers could read differently never leaves."""

import io
import json

import httpx
import pytest

from tests.conftest import NO_CERTIFICATES
from tests.gateway_road.conftest import openai_client


def test_a_form_has_its_model_renamed_and_nothing_else(road):
    road.store_custom()
    with openai_client(road.house.address, road.house.keys.project_key) as client:
        client.audio.transcriptions.create(model="custom/whisper/x", file=("a.wav", io.BytesIO(b"RIFF\r\n\r\n--")), temperature=0.5)
        client.audio.transcriptions.create(model="whisper/x", file=("a.wav", io.BytesIO(b"RIFF\r\n\r\n--")), temperature=0.5)
    first, second = road.upstream.requests

    def without_boundary(request):
        boundary = request.header(b"content-type")[0].partition(b"boundary=")[2]
        return request.body.replace(boundary, b"boundary")

    assert b'name="model"\r\n\r\nwhisper/x\r\n' in first.body
    assert without_boundary(first) == without_boundary(second)


def test_a_form_without_a_model_gets_the_default(road):
    road.store_custom(defaultModel="whisper-1")
    form = b'--b\r\ncontent-disposition: form-data; name="file"; filename="a"\r\n\r\nRIFF\r\n--b--\r\n'
    answer = road.post("/v1/audio/transcriptions", form, content_type="multipart/form-data; boundary=b")
    assert answer.status_code == 200
    assert road.request.body == b'--b\r\ncontent-disposition: form-data; name="model"\r\n\r\nwhisper-1\r\n' + form


def test_an_image_is_edited_by_a_form_and_by_json(road):
    road.store_custom()
    with openai_client(road.house.address, road.house.keys.project_key) as client:
        edited = client.images.edit(model="custom/gpt-image-2", prompt="Red", image=("a.png", io.BytesIO(b"PNG")))
    body = {"model": "custom/gpt-image-2", "prompt": "Red", "images": [{"image_url": "https://e/a.png"}]}
    by_json = road.post("/v1/images/edits", body).json()
    told = (edited.data[0].revised_prompt, by_json["data"][0]["revised_prompt"])
    assert told == ("multipart/form-data True False", "application/json True False")
    assert json.loads(road.upstream.requests[1].body) == {**body, "model": "gpt-image-2"}
    refused = road.post("/v1/images/edits", b"{", content_type="application/json; charset=utf-8")
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "malformed_request")


@pytest.mark.parametrize(
    ("form", "kind"),
    [
        (b"{}", "application/json"),
        (b"no boundary here", "multipart/form-data; boundary=b"),
        (b'--b\r\ncontent-disposition: form-data; name="model"\r\n\r\nm', "multipart/form-data; boundary=b"),
        (b"--b\r\ncontent-disposition: form-data\r\n\r\nm\r\n--b--", "multipart/form-data; boundary=b"),
        (b"", "multipart/form-data; boundary=b"),
    ],
)
def test_what_is_no_form_is_refused(road, form, kind):
    road.store_custom()
    answer = road.post("/v1/audio/transcriptions", form, content_type=kind)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "malformed_request")


def test_a_form_has_at_most_a_thousand_parts(road):
    road.store_custom()
    part, kind = b'--b\r\ncontent-disposition: form-data; name="a"\r\n\r\nm\r\n', "multipart/form-data; boundary=b"
    answer = road.post("/v1/audio/transcriptions", part * 1001 + b"--b--\r\n", content_type=kind)
    assert (answer.status_code, "more than 1000 parts" in answer.text) == (400, True)
    assert "parts" not in road.post("/v1/audio/transcriptions", part * 1000 + b"--b--\r\n", content_type=kind).text


def test_a_form_that_names_two_models_is_refused(road):
    road.store_custom()
    part = b'--b\r\ncontent-disposition: form-data; name="model"\r\n\r\nm\r\n'
    answer = road.post("/v1/audio/transcriptions", part + part + b"--b--\r\n", content_type="multipart/form-data; boundary=b")
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "model")


DISPOSITION = b"content-disposition: form-data; "


@pytest.mark.parametrize(
    "head",
    [
        DISPOSITION + b'name="model"; name="file"',
        DISPOSITION + b'name="file"; name="model"',
        DISPOSITION + b"name=model",
        DISPOSITION + b'name="file"; name=model',
        DISPOSITION + b'filename="a; name="model""; name="file"',
        DISPOSITION + b'name="mo\\del"',
        DISPOSITION + b"name*=UTF-8''model; name=\"file\"",
        DISPOSITION + b'name="file"\r\n' + DISPOSITION + b'name="model"',
        DISPOSITION + b'name="file";\r\n name="model"',
        DISPOSITION + b'name="file"\rx: y',
        b'x-content-disposition: form-data; name="model"',
        b'content-disposition: attachment; name="model"',
        DISPOSITION + b'name="' + b"a" * 8192 + b'"',
        DISPOSITION + b'name="model"' + b"\r\nx: y" * 101,
        DISPOSITION + b'name="model"' + b"; a=b" * 20,
    ],
)
def test_a_part_whose_head_is_endless_or_could_be_read_in_two_ways_is_refused(road, head):
    road.store_custom()
    form = b"--b\r\n" + head + b"\r\n\r\nm\r\n--b--\r\n"
    answer = road.post("/v1/audio/transcriptions", form, content_type="multipart/form-data; boundary=b")
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "malformed_request")
    assert road.upstream.requests == []


@pytest.mark.parametrize(
    "head",
    [
        DISPOSITION + b'filename="a;b name=\\"x\\".wav"; name="file"\r\ncontent-type: audio/wav',
        b"Content-Type: audio/wav\r\nContent-Disposition:form-data;name=\"file\";filename*=UTF-8''%e2%82%ac.wav;filename=a.wav",
        DISPOSITION + 'name="file"; filename="ü.wav"'.encode() + b" ",
        DISPOSITION + b'name="file"; filename="' + b'\\"' * 4000 + b'"',
    ],
)
def test_any_part_that_clients_send_passes(road, head):
    road.store_custom(defaultModel="whisper-1")
    form = b"--b\r\n" + head + b"\r\n\r\nRIFF\r\n--b--\r\n"
    assert road.post("/v1/audio/transcriptions", form, content_type="multipart/form-data; boundary=b").status_code == 200
    assert road.request.body.endswith(form)


@pytest.mark.parametrize("kind", ["boundary=b; boundary=c", "x-boundary=b", 'boundary=b; x="boundary=c"', "BOUNDARY=b;boundary=b"])
def test_a_form_whose_boundary_could_be_read_in_two_ways_is_refused(road, kind):
    road.store_custom()
    form = b"--b\r\n" + DISPOSITION + b'name="model"\r\n\r\nm\r\n--b--\r\n'
    answer = road.post("/v1/audio/transcriptions", form, content_type=f"multipart/form-data; {kind}")
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "malformed_request")


def test_of_two_content_types_the_one_that_was_read_goes_on(road):
    road.store_custom()
    form = b"--b\r\n" + DISPOSITION + b'name="model"\r\n\r\nm\r\n--b--\r\n'
    kinds = [("content-type", "multipart/form-data; boundary=b"), ("content-type", "multipart/form-data; boundary=c")]
    headers = [("x-api-key", road.house.keys.project_key), *kinds]
    httpx.post(f"{road.house.address}/v1/audio/transcriptions", content=form, headers=headers, trust_env=False, verify=NO_CERTIFICATES)
    assert road.request.header(b"content-type") == [b"multipart/form-data; boundary=b"]
