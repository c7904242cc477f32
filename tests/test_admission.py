"""Who may stream: our signature against Twilio's own library."""

import pytest
from multidict import CIMultiDict
from twilio.request_validator import HMAC_SHA256, RequestValidator

from gateway.admission import Everybody, TwilioSignature, twilio_signature
from gateway.app import who_may_stream
from gateway.config import load

TOKEN = "an-auth-token"
PATH = "/media/twilio"
PUBLIC = "wss://voice.example.com"
SETTINGS = "X-Twilio-Webhooks-Signature-Settings"


def headers(signature: str | None, **more: str) -> CIMultiDict[str]:
    given = CIMultiDict({"host": "whoever.writes.this", **more})
    if signature is not None:
        given["x-twilio-signature"] = signature
    return given


def official(url: str, token: str = TOKEN, algorithm: str | None = None) -> str:
    """What Twilio's own library puts on a request for `url`."""
    return str(RequestValidator(token).compute_signature(url, {}, algorithm))


def allows(signature: str | None, *, public: str = PUBLIC, path: str = PATH, **more: str) -> bool:
    return TwilioSignature([TOKEN], public).allows(path, headers(signature, **more))


def test_the_signature_is_a_known_one() -> None:
    assert twilio_signature("tok", "wss://gw.example.com/twilio") == "BYhn9DWm0kz6DT9n267yMcQhJCI="


@pytest.mark.parametrize("url", ["wss://voice.example.com/media/twilio", "https://a.b:8443/x?y=z", "wss://ü.de/ä"])
def test_twilios_library_makes_and_takes_the_same_signature(url: str) -> None:
    assert twilio_signature(TOKEN, url) == official(url)
    assert twilio_signature(TOKEN, url, algorithm="sha256") == official(url, algorithm=HMAC_SHA256)
    assert RequestValidator(TOKEN).validate(url, {}, twilio_signature(TOKEN, url))


@pytest.mark.parametrize("scheme", ["wss", "https"])
@pytest.mark.parametrize("slash", ["", "/"])
@pytest.mark.parametrize("path", [PATH, PATH + "/"])
@pytest.mark.parametrize("public", [PUBLIC, PUBLIC + "/"])
def test_every_form_of_the_public_url_will_do(scheme: str, slash: str, path: str, public: str) -> None:
    signed = f"{scheme}://voice.example.com{PATH}{slash}"
    assert allows(official(signed), public=public, path=path)


@pytest.mark.parametrize("public", ["wss://host/behind/a/proxy", "wss://host/behind/a/proxy/"])
def test_the_public_url_may_have_a_path_before_ours(public: str) -> None:
    assert allows(official("wss://host/behind/a/proxy/media/twilio"), public=public)
    assert not allows(official("wss://host/media/twilio"), public=public)


@pytest.mark.parametrize(
    "url",
    [
        "ws://voice.example.com/media/twilio",
        "wss://voice.example.com/media/other",
        "wss://voice.example.com/media",
        "wss://voice.example.com/media/twilio?x=1",
        "wss://other.example.com/media/twilio",
        "wss://whoever.writes.this/media/twilio",
        "wss://voice.example.com:444/media/twilio",
    ],
)
def test_another_url_will_not_do(url: str) -> None:
    assert not allows(official(url))


@pytest.mark.parametrize("signature", [None, "", " ", "=", "AAAA", "ä", "\udcff", official(PUBLIC + PATH)[:-1]])
def test_no_or_a_wrong_signature_will_not_do(signature: str | None) -> None:
    assert not allows(signature)


def test_another_token_will_not_do() -> None:
    assert not allows(official(PUBLIC + PATH, "another-token"))
    assert not allows(official(PUBLIC + PATH, ""))


@pytest.mark.parametrize("token", ["the-old-one", "the-new-one"])
def test_either_token_will_do_while_one_is_rotated(token: str) -> None:
    rotating = TwilioSignature(["the-new-one", "the-old-one"], PUBLIC)
    assert rotating.allows(PATH, headers(official(PUBLIC + PATH, token)))
    assert not rotating.allows(PATH, headers(official(PUBLIC + PATH, "a-third")))


@pytest.mark.parametrize(
    "settings", ["key=abc,algorithm=HMAC_SHA256", "algorithm=hmac_sha256", " key=abc , algorithm = HMAC_SHA256 "]
)
def test_the_settings_header_chooses_sha256(settings: str) -> None:
    sha1, sha256 = official(PUBLIC + PATH), official(PUBLIC + PATH, algorithm=HMAC_SHA256)
    assert allows(sha256, **{SETTINGS: settings})
    assert not allows(sha1, **{SETTINGS: settings})
    assert not allows(sha256)


@pytest.mark.parametrize("settings", ["", "key=HMAC_SHA256", "key=abc", "algorithm=", "algorithm=HMAC_SHA1"])
def test_other_settings_leave_it_at_sha1(settings: str) -> None:
    assert allows(official(PUBLIC + PATH), **{SETTINGS: settings})


def test_an_unknown_algorithm_is_refused() -> None:
    for signature in (official(PUBLIC + PATH), official(PUBLIC + PATH, algorithm=HMAC_SHA256)):
        assert not allows(signature, **{SETTINGS: "key=abc,algorithm=HMAC_MD5"})


def test_it_does_not_work_without_a_token() -> None:
    with pytest.raises(ValueError, match="at least one"):
        TwilioSignature([], PUBLIC)


def test_tokens_are_not_shown() -> None:
    assert TOKEN not in repr(TwilioSignature([TOKEN], PUBLIC))


def test_the_settings_decide_who_is_asked() -> None:
    key = {"assemblyai_api_key": "a-key"}
    assert isinstance(who_may_stream(load(**key, allow_unauthenticated=True)), Everybody)
    assert who_may_stream(load(**key, allow_unauthenticated=True)).allows(PATH, headers(None))
    strict = who_may_stream(load(**key, twilio_auth_token=TOKEN, public_url=PUBLIC, allow_unauthenticated=True))
    assert strict.allows(PATH, headers(official(PUBLIC + PATH)))
    assert not strict.allows(PATH, headers(None))
