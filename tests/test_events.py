"""What is published: its types, the schema that is made of them, and the documentation."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any, get_args

import jsonschema
import msgspec
import pytest

from gateway import events

ROOT = Path(__file__).parent.parent
SCHEMA = ROOT / "gateway" / "turngate.schema.json"
DOCS = ROOT / "docs" / "events.md"

KINDS: dict[str, type[events.Event]] = {str(kind.__struct_config__.tag): kind for kind in get_args(events.AnyEvent)}

COMMON = {
    "v": 1,
    "id": "MZ18ad:3fa94c1e:17",
    "call_id": "CA5a1e",
    "stream_id": "MZ18ad",
    "seq": 17,
    "at": "2026-11-20T12:00:00.123Z",
}

EXAMPLES: list[dict[str, Any]] = [
    {
        "type": "stream.started",
        "dialect": "twilio",
        "profile": "default",
        "tracks": ["inbound"],
        "encoding": "audio/x-mulaw",
        "parameters": {"queue": "support"},
        "from": "+15005550006",
        "to": None,
        "started_at": "2026-11-20T12:00:00.100Z",
    },
    {
        "type": "session.started",
        "track": "inbound",
        "session_id": "4f2c",
        "model": "universal-streaming-english",
        "expires_at": 1795190400,
        "connect_ms": 620,
        "attempt": 1,
    },
    {"type": "speech.started", "part": 1, "track": "inbound", "at_ms": 5100},
    {
        "type": "turn",
        "track": "inbound",
        "turn": 3,
        "final": True,
        "formatted": False,
        "text": "hello there",
        "start_ms": 5120,
        "end_ms": 6000,
        "offset_ms": 1200,
        "assemblyai": {"type": "Turn", "turn_order": 1, "anything": [1, {"at": "all"}]},
    },
    {
        "type": "turn",
        "part": 2,
        "track": "inbound",
        "turn": 4,
        "final": False,
        "formatted": False,
        "text": "and",
        "start_ms": None,
        "end_ms": None,
        "offset_ms": None,
        "assemblyai": None,
    },
    {"type": "gap", "track": "inbound", "from_ms": 4000, "to_ms": 4500, "lost_ms": 500, "cause": "carrier"},
    {"type": "session.interrupted", "track": "inbound", "reason": "lost", "code": None},
    {"type": "session.resumed", "track": "inbound", "outage_ms": 900, "replayed_ms": 2500, "behind_ms": 900},
    {"type": "session.warning", "track": "inbound", "code": 3100, "message": "slow"},
    {"type": "session.error", "track": "inbound", "code": 1008, "message": "AssemblyAI refused the API key."},
    {"type": "dtmf", "digit": "•", "track": "inbound"},
    {"type": "llm.response", "track": "inbound", "turn": None, "data": {"choices": []}},
    {"type": "silence", "part": 3, "track": "inbound", "assemblyai": {"type": "Silence"}},
    {"type": "heartbeat", "part": 4, "track": "inbound", "assemblyai": {"type": "Heartbeat"}},
    {"type": "upstream", "part": 5, "track": "inbound", "assemblyai": {"type": "SomethingNew"}},
    {"type": "control", "request_id": "7", "action": "pause", "accepted": False, "message": "it is paused already"},
    {"type": "stream.status", "status": "stream-error", "code": 31921, "message": "closed by the peer"},
    {
        "type": "session.ended",
        "track": "inbound",
        "session_id": "4f2c",
        "audio_seconds": 61.5,
        "session_seconds": None,
        "billed_seconds": 62.031,
    },
    {
        "type": "stream.ended",
        "result": "completed",
        "reason": "stopped",
        "duration_seconds": 62.5,
        "frames": 3100,
        "turns": 12,
        "lost_ms": 500,
        "billed_seconds": 62.031,
        "last_seq": 18,
    },
]

validator = jsonschema.Draft202012Validator(json.loads(SCHEMA.read_bytes()))
each_example = pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example["type"])


def test_there_is_an_example_of_every_type() -> None:
    assert {example["type"] for example in EXAMPLES} == KINDS.keys()


@each_example
def test_an_example_fits_the_schema_and_reads_and_writes_as_it_is(example: dict[str, Any]) -> None:
    event = {**example, **COMMON}
    validator.validate(event)
    read = events.decode(json.dumps(event).encode())
    assert type(read) is KINDS[example["type"]]
    assert json.loads(events.encode(read)) == event


@each_example
def test_fields_that_are_not_known_are_passed_over(example: dict[str, Any]) -> None:
    event = {**example, **COMMON, "added_later": {"some": ["thing"]}}
    validator.validate(event)
    assert json.loads(events.encode(events.decode(json.dumps(event).encode()))) == {**example, **COMMON}


@each_example
def test_live_events_have_a_part_and_durable_ones_have_none(example: dict[str, Any]) -> None:
    durable = example["final"] if example["type"] == "turn" else KINDS[example["type"]].durable
    assert ("part" in example) is not durable


def test_what_assemblyai_said_is_published_byte_for_byte() -> None:
    raw = b'{ "turn_order":0,  "transcript":"caf\\u00e9", "end_of_turn_confidence":1.10, "type":"Turn" }'
    event = events.Heartbeat(
        id="s:e:1:1", call_id="c", stream_id="s", seq=1, part=1, at="x", track="inbound", assemblyai=msgspec.Raw(raw)
    )
    assert raw in events.encode(event)


@pytest.mark.parametrize(
    "broken",
    [
        {"v": 2},
        {"seq": -1},
        {"seq": "17"},
        {"type": "never.heard.of"},
        {"cause": "bad luck"},
        {"lost_ms": None},
    ],
    ids=str,
)
def test_what_is_no_event_of_this_version_is_neither_valid_nor_read(broken: dict[str, Any]) -> None:
    gap = next(example for example in EXAMPLES if example["type"] == "gap")
    event = {**gap, **COMMON, **broken}
    assert not validator.is_valid(event)
    with pytest.raises(msgspec.ValidationError):
        events.decode(json.dumps(event).encode())


def test_the_schema_in_the_package_is_up_to_date() -> None:
    assert SCHEMA.read_bytes() == events.schema(), "the types of gateway/events.py have changed: run `make schema`"


def test_the_schema_is_a_schema_and_names_the_version() -> None:
    schema = json.loads(SCHEMA.read_bytes())
    jsonschema.Draft202012Validator.check_schema(schema)
    assert schema["title"] == "Turngate event"
    for definition in schema["$defs"].values():
        assert definition["properties"]["v"] == {"default": events.VERSION, "enum": [events.VERSION]}


def test_run_as_a_program_the_module_writes_the_schema_and_nothing_else() -> None:
    run = subprocess.run([sys.executable, "-m", "gateway.events"], cwd=ROOT, capture_output=True, check=True)
    assert run.stdout == events.schema()
    assert run.stderr == b""


def documented() -> dict[str, tuple[str, list[str]]]:
    """The rows of the table of types in docs/events.md: durability and fields."""
    part = DOCS.read_text().split("\n## Types\n")[1].strip().split("\n\n")[0]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in part.splitlines()[2:]]
    return {row[0].strip("`"): (row[1], re.findall(r"`([^`]+)`", row[2])) for row in rows}


def test_the_documentation_has_every_type_with_its_fields() -> None:
    common = events.Event.__struct_fields__
    expected = {
        tag: [field.encode_name for field in msgspec.structs.fields(kind) if field.name not in common]
        for tag, kind in KINDS.items()
    }
    assert {tag: fields for tag, (_, fields) in documented().items()} == expected


def test_the_documentation_says_what_is_durable() -> None:
    expected = {tag: "yes" if kind.durable else "no" for tag, kind in KINDS.items()} | {"turn": "final only"}
    assert {tag: durable for tag, (durable, _) in documented().items()} == expected


def test_the_documentation_has_the_fields_that_all_have() -> None:
    part = DOCS.read_text().split("\n## Common to all\n")[1].strip().split("\n\n")[0]
    named = {name for line in part.splitlines()[2:] for name in re.findall(r"`([^`]+)`", line.split("|")[1])}
    assert named == {"type", *events.Event.__struct_fields__}


def test_the_example_in_the_documentation_is_an_event() -> None:
    found = re.search(r"```json\n(.*?)```", DOCS.read_text(), re.DOTALL)
    assert found is not None
    validator.validate(json.loads(found[1]))
    events.decode(found[1].encode())
