"""Every setting: read from the environment once, checked all at once, frozen.

`load` reports every fault in words, with the variable's name. Secrets are hidden in every `repr`. The table in the
README is made from this declaration (`make readme`), and a test holds the two together.
"""

import os
import re
import ssl
from collections.abc import Mapping
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

import msgspec
from pydantic import AliasChoices, Field, SecretStr, ValidationError, ValidationInfo, field_validator
from pydantic_core import ErrorDetails, PydanticCustomError
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from gateway.errors import ConfigError
from gateway.faults import SET_ELSEWHERE, what_is_wrong
from gateway.protocol.audio import ChunkRule
from gateway.protocol.parameters import Parameters, Value, is_base_url, session_url
from gateway.publisher import OutboxOptions
from gateway.redis_write import is_redis_url
from gateway.session import SessionLimits
from gateway.stream import StreamOptions
from gateway.track import TrackOptions
from gateway.upstream import Endpoint
from gateway.watch import CarrierLimits

PREFIX = "TURNGATE_"
API_VERSION = "2025-05-12"
"""The value of `AssemblyAI-Version` that the messages of `protocol.transcription` were written against."""

_LIMITS = SessionLimits()
_OUTAGE_SECONDS = _LIMITS.ping_every + _LIMITS.pong_within + _LIMITS.begin
"""From the death of a session, by way of its being noticed, to the next one's Begin."""

_EVERYWHERE = {"0.0.0.0", "::", ""}  # noqa: S104 - compared with, not listened on

Texts = Annotated[tuple[str, ...], NoDecode]
Secrets = Annotated[tuple[SecretStr, ...], NoDecode]
Json = Annotated[dict[str, Value], NoDecode]


def _customary(name: str) -> AliasChoices:
    """A variable known by its customary name, and by ours."""
    return AliasChoices(name, PREFIX + name)


def _about(name: str, message: str) -> PydanticCustomError:
    """A fault of another variable than the one that was being looked at."""
    return PydanticCustomError("another_setting", message, {"variable": name})


class Settings(BaseSettings):
    """The settings of one gateway process."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        frozen=True,
        extra="ignore",
        hide_input_in_errors=True,
        env_ignore_empty=True,
        allow_inf_nan=False,
    )

    assemblyai_api_key: SecretStr | None = Field(
        None,
        validate_default=True,
        validation_alias=_customary("ASSEMBLYAI_API_KEY"),
        description="AssemblyAI's API key, sent as it is. `self-hosted` for the self-hosted stack.",
    )
    assemblyai_url: str = Field(
        "wss://streaming.assemblyai.com",
        description="Scheme and host, and a path where it is not `/v3/ws`. EU: `wss://streaming.eu.assemblyai.com`, "
        "US: `wss://streaming.us.assemblyai.com`, self-hosted: `ws://host:8080/`.",
    )
    assemblyai_speech_model: str = Field(
        "universal-streaming-english", min_length=1, description="The model; always sent."
    )
    assemblyai_format_turns: bool = Field(
        default=False, description="Ask the Universal-Streaming models for formatted finals."
    )
    assemblyai_inactivity_timeout: int = Field(
        60,
        ge=5,
        le=3600,
        description="Seconds of silence after which AssemblyAI itself closes a session: a safety net.",
    )
    assemblyai_parameters: Json = Field(
        default_factory=dict,
        repr=False,  # They may hold names and a token.
        description='Any further query parameters of v3, as JSON: `{"min_turn_silence": 300}`.',
    )
    public_url: str | None = Field(
        None,
        description="How carriers reach the media site: `wss://voice.example.com`. Signatures are checked against it.",
    )
    twilio_auth_token: Secrets = Field(
        (),
        validation_alias=_customary("TWILIO_AUTH_TOKEN"),
        description="Twilio's auth token; two, with a comma between, while one is being rotated.",
    )
    allow_unauthenticated: bool = Field(
        default=False,
        validate_default=True,
        description="Let anyone stream who reaches the media site, and spend the key. For development.",
    )
    tracks: Literal["inbound", "outbound", "both"] = Field(
        "inbound", description="Which tracks are transcribed. `both` opens, and costs, two sessions a stream."
    )
    chunk_ms: int = Field(60, ge=50, le=1000, description="Audio gathered for one message upstream, in milliseconds.")
    backlog_seconds: float = Field(
        30.0,
        le=600,
        description="Audio kept for a track while no session takes it, at least "
        f"{_OUTAGE_SECONDS:g} seconds; the oldest goes first.",
    )
    jitter_ms: int = Field(
        60, ge=0, le=5000, description="How far the carrier's time stamps may jump before that counts as lost audio."
    )
    parameters: Texts = Field(
        (), description="Names of the carrier's custom parameters that are published, with commas between."
    )
    show_dtmf: bool = Field(default=False, description="Publish the digits that callers dial, not just that they did.")
    redis_url: str = Field(
        "redis://127.0.0.1:6379/0",
        repr=False,  # It may hold a password.
        validation_alias=_customary("REDIS_URL"),
        description="Where events go: `redis://`, `rediss://` or `unix://`.",
    )
    redis_prefix: str = Field(
        "turngate", pattern=r"^[A-Za-z0-9._:-]{1,64}$", description="What every key and channel begins with."
    )
    history_seconds: int = Field(
        3600, ge=60, le=30 * 86400, description="How long a call's history is kept after its last stream."
    )
    outbox_bytes: int = Field(
        32 * 2**20, ge=2**16, description="Events that may wait for Redis, in bytes; live-only ones go first."
    )
    media_host: str = Field("0.0.0.0", description="Where the public media site listens.")  # noqa: S104 - a service
    media_port: int = Field(8080, ge=0, le=65535, description="Its port.")
    admin_host: str = Field("127.0.0.1", description="Where the private admin site listens.")
    admin_port: int = Field(8081, ge=0, le=65535, description="Its port.")
    drain_seconds: float = Field(
        20.0, ge=0, description="How long streams may take to end on SIGTERM, their last turns included."
    )
    flush_seconds: float = Field(10.0, ge=0, description="How long the outbox may take to deliver after that.")
    max_stream_seconds: float = Field(
        86400.0, gt=0, le=86400, description="The longest that a stream may last; then it ends with the reason `limit`."
    )
    log_format: Literal["auto", "json", "pretty"] = Field(
        "auto", description="`auto`: pretty on a terminal, JSON elsewhere."
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="What is logged, and above.")

    @field_validator("backlog_seconds")
    @classmethod
    def _holds_an_outage(cls, value: float) -> float:
        if value < _OUTAGE_SECONDS:
            why = "it may take so long to notice that a session is dead and to begin another one"
            raise ValueError(f"at least {_OUTAGE_SECONDS:g} are needed: {why}")
        return value

    @field_validator("parameters", "twilio_auth_token", mode="before")
    @classmethod
    def _commas(cls, value: Any) -> Any:
        return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value

    @field_validator("assemblyai_parameters", mode="before")
    @classmethod
    def _json(cls, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        try:
            return msgspec.json.decode(value)
        except msgspec.DecodeError:
            raise ValueError('a JSON object is expected: {"min_turn_silence": 300}') from None

    @field_validator("assemblyai_parameters")
    @classmethod
    def _has_no_own_setting(cls, value: dict[str, Value]) -> dict[str, Value]:
        if told := [SET_ELSEWHERE[name] for name in value if name in SET_ELSEWHERE]:
            raise ValueError("; ".join(told))
        return value

    @field_validator("admin_port")
    @classmethod
    def _is_another(cls, value: int, info: ValidationInfo) -> int:
        hosts = {info.data.get("media_host"), info.data.get("admin_host")}
        if value and value == info.data.get("media_port") and (len(hosts) == 1 or hosts & _EVERYWHERE):
            raise ValueError("is that of TURNGATE_MEDIA_PORT, too; the two sites need a port each")
        return value

    @field_validator("assemblyai_url", "public_url")
    @classmethod
    def _websocket_url(cls, value: str | None) -> str | None:
        if value is not None and not is_base_url(value):
            raise ValueError(
                "a URL that begins with wss:// (or ws://), with a host, without a query or a password, is expected"
            )
        return value

    @field_validator("redis_url")
    @classmethod
    def _redis_url(cls, value: str) -> str:
        if urlsplit(value).scheme not in ("redis", "rediss", "unix"):
            raise ValueError("a URL that begins with redis://, rediss:// or unix:// is expected")
        if not is_redis_url(value):
            raise ValueError(
                "redis://HOST:6379/0 is expected, or redis://USER:PASSWORD@HOST:6379/0, the password percent-encoded"
            )
        return value

    @field_validator("assemblyai_api_key")
    @classmethod
    def _key(cls, value: SecretStr | None) -> SecretStr:
        if value is None:
            raise ValueError(
                "is not set. Copy the key from AssemblyAI's dashboard; to try without one, use `turngate demo`, or "
                "`turngate emulate` with any key"
            )
        if not re.fullmatch(r"[!-~]+", value.get_secret_value()):
            raise ValueError("has characters that no key has, such as spaces or quotes")
        return value

    @field_validator("allow_unauthenticated")
    @classmethod
    def _authenticated(cls, value: bool, info: ValidationInfo) -> bool:
        # What was refused itself is not among the data, and is not complained about twice.
        tokens, public = info.data.get("twilio_auth_token"), info.data.get("public_url", "")
        if tokens and public is None:
            raise _about(
                "TURNGATE_PUBLIC_URL",
                "is not set, and signatures are checked against it. Set it to how Twilio reaches this service: "
                "wss://voice.example.com",
            )
        if tokens == () and not value:
            raise _about(
                "TWILIO_AUTH_TOKEN",
                "is not set, so anyone could stream and spend your key. Set it (and TURNGATE_PUBLIC_URL), or for "
                "development TURNGATE_ALLOW_UNAUTHENTICATED=true",
            )
        return value

    @property
    def track_names(self) -> tuple[str, ...]:
        """The tracks that are wanted."""
        return ("inbound", "outbound") if self.tracks == "both" else (self.tracks,)

    def stream_options(self) -> StreamOptions:
        """For `stream`."""
        rule = ChunkRule.mulaw(chunk_ms=self.chunk_ms, backlog_seconds=self.backlog_seconds)
        return StreamOptions(
            tracks=self.track_names,
            show_digits=self.show_dtmf,
            parameters=frozenset(self.parameters),
            limits=CarrierLimits(longest=self.max_stream_seconds),
            track=TrackOptions(rule=rule, jitter_ms=self.jitter_ms),
        )

    def endpoint(self, user_agent: str) -> Endpoint:
        """For `upstream`."""
        parameters = Parameters(
            speech_model=self.assemblyai_speech_model,
            format_turns=self.assemblyai_format_turns,
            inactivity_timeout=self.assemblyai_inactivity_timeout,
            more=self.assemblyai_parameters,
        )
        key = self.assemblyai_api_key.get_secret_value() if self.assemblyai_api_key else ""
        headers = {"Authorization": key, "AssemblyAI-Version": API_VERSION, "User-Agent": user_agent}
        url = session_url(self.assemblyai_url, parameters.query())
        tls = ssl.create_default_context() if url.startswith("wss:") else None
        return Endpoint(url=url, headers=headers, tls=tls)

    def outbox_options(self) -> OutboxOptions:
        """For `publisher`."""
        return OutboxOptions(
            prefix=self.redis_prefix, limit_bytes=self.outbox_bytes, history_seconds=self.history_seconds
        )


def variable(name: str) -> str:
    """The environment variable of a field: the customary name where it has one."""
    alias = Settings.model_fields[name].validation_alias
    return str(alias.choices[0]) if isinstance(alias, AliasChoices) else PREFIX + name.upper()


def load(**overrides: Any) -> Settings:
    """The settings from the environment.

    Args:
        overrides: fields that are given otherwise, by their names or their variables'.

    Raises:
        ConfigError: with every fault.
        TypeError: there is no such field.
    """
    strange = overrides.keys() - Settings.model_fields.keys() - {variable(name) for name in Settings.model_fields}
    if strange:
        raise TypeError(f"no such settings: {', '.join(sorted(strange))}")
    try:
        return Settings(**overrides)
    except ValidationError as error:
        raise in_words(error) from None


def in_words(error: ValidationError) -> ConfigError:
    """What was refused, in sentences: each fault once."""
    return ConfigError(list(dict.fromkeys(_fault(fault) for fault in error.errors())))


def _fault(error: ErrorDetails) -> str:
    name = str(error["loc"][0])
    own = variable(name) if name in Settings.model_fields else name
    return f"{error.get('ctx', {}).get('variable', own)}: {what_is_wrong(error)}."


def unknown_variables(environment: Mapping[str, str] = os.environ) -> list[str]:
    """Variables that look like settings but are none: misspelt, most likely."""
    known = {PREFIX + name.upper() for name in Settings.model_fields} | {variable(n) for n in Settings.model_fields}
    return sorted(name for name in environment if name.startswith(PREFIX) and name not in known)
