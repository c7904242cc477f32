"""Who may stream.

The upgrade of a Twilio stream carries `X-Twilio-Signature`: base64 of an HMAC over the stream's URL, keyed with the
account's auth token (Twilio, "Webhooks security": SHA-1, or SHA-256 where `X-Twilio-Webhooks-Signature-Settings`
announces a shared key). Which form of the URL is signed for a WebSocket is not settled by Twilio's documents, so each
form that a configured public URL can take is tried: wss and https, with and without a slash at the end. Nothing is
derived from the request's Host header: a stranger writes that.
"""

import base64
import hmac
from collections.abc import Mapping, Sequence
from typing import Protocol
from urllib.parse import urlsplit


def twilio_signature(auth_token: str, url: str, *, algorithm: str = "sha1") -> str:
    """The signature that Twilio puts on the upgrade of a stream to `url`.

    Args:
        auth_token: the account's auth token.
        url: the whole URL of the stream, as it stands in the TwiML.
        algorithm: `sha1` or `sha256`.
    """
    digest = hmac.new(auth_token.encode(), url.encode(), algorithm).digest()
    return base64.b64encode(digest).decode("ascii")


_ALGORITHMS = {"HMAC_SHA1": "sha1", "HMAC_SHA256": "sha256"}


def _named_algorithm(settings: str) -> str:
    """The algorithm in the settings header, `key=…,algorithm=HMAC_SHA256`; without one it is SHA-1."""
    for part in settings.split(","):
        name, _, value = part.partition("=")
        if name.strip() == "algorithm" and value.strip():
            return value.strip().upper()
    return "HMAC_SHA1"


class Admission(Protocol):
    """Decides on an upgrade."""

    def allows(self, path: str, headers: Mapping[str, str]) -> bool:
        """Whether the upgrade at `path` may become a stream. `headers` are case-insensitive."""


class Everybody:
    """Anyone may stream, and spend the AssemblyAI key: only where the operator said so."""

    def allows(self, path: str, headers: Mapping[str, str]) -> bool:
        """See `Admission`."""
        return True


class TwilioSignature:
    """Only who knows the account's auth token may stream.

    Args:
        auth_tokens: any one of them will do, so that a token can be rotated.
        public_url: scheme, host and, where a proxy adds one, path before ours: how the carrier sees this service.
    """

    def __init__(self, auth_tokens: Sequence[str], public_url: str) -> None:
        if not auth_tokens:
            raise ValueError("at least one auth token is needed")
        parts = urlsplit(public_url)
        self._tokens = tuple(auth_tokens)
        self._place = parts.netloc + parts.path.rstrip("/")

    def __repr__(self) -> str:
        return f"TwilioSignature({len(self._tokens)} tokens)"

    def allows(self, path: str, headers: Mapping[str, str]) -> bool:
        """See `Admission`. Takes the same time whichever form fits, or none."""
        # What is no UTF-8 arrives as lone surrogates.
        given = headers.get("X-Twilio-Signature", "").encode(errors="surrogateescape")
        algorithm = _ALGORITHMS.get(_named_algorithm(headers.get("X-Twilio-Webhooks-Signature-Settings", "")))
        if algorithm is None:
            return False
        fits = False
        for token in self._tokens:
            for url in self._forms(path):
                expected = twilio_signature(token, url, algorithm=algorithm).encode()
                fits |= hmac.compare_digest(given, expected)
        return fits

    def _forms(self, path: str) -> list[str]:
        place = self._place + path.rstrip("/")
        return [f"{scheme}://{place}{slash}" for scheme in ("wss", "https") for slash in ("", "/")]
