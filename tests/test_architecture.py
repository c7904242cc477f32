"""What may import what, who may start tasks, and where the tests are."""

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import gateway

ROOT = Path(gateway.__file__).parent
TESTS = Path(__file__).parent
MODULES = sorted(path for path in ROOT.rglob("*.py") if path != ROOT / "__init__.py")
PROTOCOL = [path for path in MODULES if path.is_relative_to(ROOT / "protocol")]

ORDER = (
    "__main__",
    "cli",
    "check",
    "shell",
    "tail",
    "follow",
    "app",
    "config",
    "faults",
    "carrier",
    "voice",
    "admission",
    "refusals",
    "control",
    "streams",
    "stream",
    "track",
    "losses",
    "transcript",
    "session",
    "journal",
    "watch",
    "upstream",
    "wire",
    "publisher",
    "waiting",
    "redis_write",
    "view",
    "client",
    "feed",
    "order",
    "wording",
    "metrics",
    "protocol",
    "events",
    "logs",
    "log_writer",
    "errors",
)
"""The gateway proper, top down: a module imports what stands below it here, and nothing else of the gateway."""

PLANNED = {"voice", "control"}
"""Of these, what is not written yet."""

PROTOCOL_ORDER = (
    "dialects",
    "turns",
    "transcription",
    "verdicts",
    "parameters",
    "media_stream",
    "timeline",
    "audio",
    "lenient",
)
"""The same within `protocol`."""

MAY_IMPORT_THE_SANDBOX = {"cli"}

IO = {"asyncio", "concurrent", "datetime", "logging", "multiprocessing", "os", "selectors", "socket", "ssl"} | {
    "subprocess",
    "threading",
    "time",
    "urllib.request",
}
"""Of the standard library, what knows a loop, a socket, a clock or a log: not for `protocol`."""

OWNERS = {
    "streams": "Streams holds each stream's task, and awaits it",
    "app": "running() holds the gateway's own task, and awaits it",
    "sandbox/redis": "the embedded server holds the task that reads its output",
    "sandbox/caller/line": "a line holds its reader",
}
"""Who may start a task outside a TaskGroup, and why nothing is left behind."""

SANDBOX_KNOWS = {
    "sandbox/caller/line": {"admission"},
    "sandbox/caller/cli": {"shell"},
    "sandbox/emulator/cli": {"shell"},
    "sandbox/demo": {"app", "check", "client", "config", "logs", "stream", "tail", "view"},
    "sandbox/evidence": {"client", "events", "view", "wording"},
}
"""What the sandbox may know of the gateway: how Twilio signs, how commands talk, and in the demo, which joins both,
what it takes to run one. The emulator and the caller stand for other people's services, so they share no
code with what they test.
"""


def name_of(path: Path) -> str:
    """A module's name as the tables have it: `streams`, `protocol/audio`, `sandbox/caller`."""
    return path.relative_to(ROOT).with_suffix("").as_posix().removesuffix("/__init__")


def imports(path: Path) -> Iterator[str]:
    """The modules that a file imports anywhere in it, by their dotted names."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}: imports are absolute"
            module = node.module or ""
            # `from gateway import events` imports a module, `from gateway.events import Turn` a name in one.
            yield from (f"{module}.{alias.name}" if is_package(module) else module for alias in node.names)


def is_package(module: str) -> bool:
    return (ROOT.parent / Path(*module.split("."), "__init__.py")).exists()


def parts(path: Path) -> set[str]:
    """The parts of the gateway that a file imports: names of `ORDER`, or `sandbox`."""
    own = (module.split(".") for module in imports(path) if module.startswith("gateway."))
    return {module[1] for module in own if not module[1].startswith("__")}


def test_the_order_has_every_module() -> None:
    top = {name_of(path).split("/")[0] for path in MODULES} - {"sandbox"}
    assert top - set(ORDER) == set(), "a new module: give it its place in ORDER, and in the map in gateway/__init__.py"
    assert set(ORDER) - top <= PLANNED


def test_the_map_in_the_package_is_in_this_order() -> None:
    assert gateway.__doc__ is not None
    lines = re.findall(r"^ {4}([a-z_][a-z_, ]*?)/? {2,}\S", gateway.__doc__, re.MULTILINE)
    mapped = [name for line in lines for name in line.split(", ")]
    assert mapped == [name for name in [*ORDER, "sandbox"] if name in mapped]
    assert (set(ORDER) | {"sandbox"}) - set(mapped) <= PLANNED, "the map in gateway/__init__.py lacks a module"


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_imports_go_down_and_never_up(path: Path) -> None:
    part = name_of(path).split("/")[0]
    if part == "sandbox":
        assert parts(path) - {"sandbox"} <= SANDBOX_KNOWS.get(name_of(path), set())
        return
    below = set(ORDER[ORDER.index(part) :]) - ({part} if path.parent == ROOT else set())
    if part in MAY_IMPORT_THE_SANDBOX:
        below.add("sandbox")
    assert parts(path) - below == set(), f"{part} stands below what it imports"


@pytest.mark.parametrize("path", PROTOCOL, ids=name_of)
def test_the_protocol_knows_no_loop_no_socket_no_clock_and_no_log(path: Path) -> None:
    for module in imports(path):
        first = module.split(".")[0]
        if first == "gateway":
            assert module == "gateway.errors" or module.startswith("gateway.protocol."), module
        else:
            assert first in sys.stdlib_module_names | {"msgspec", "audioop"}, module
            assert first not in IO, module
            assert module not in IO, module


@pytest.mark.parametrize("path", PROTOCOL, ids=name_of)
def test_within_the_protocol_imports_go_down_too(path: Path) -> None:
    name = name_of(path).removeprefix("protocol").strip("/").split("/")[0]
    below = PROTOCOL_ORDER[PROTOCOL_ORDER.index(name) :] if name else ()
    own = (module.split(".") for module in imports(path) if module.startswith("gateway.protocol."))
    assert {module[2] for module in own} <= set(below)


def tasks_without_a_group(path: Path) -> list[int]:
    """The lines in which a file creates a task otherwise than in a TaskGroup that it opened by `async with`."""
    tree = ast.parse(path.read_text())
    groups = {
        item.optional_vars.id
        for node in ast.walk(tree)
        if isinstance(node, ast.AsyncWith)
        for item in node.items
        if isinstance(item.context_expr, ast.Call)
        and ast.unparse(item.context_expr.func).endswith("TaskGroup")
        and isinstance(item.optional_vars, ast.Name)
    }
    return [
        node.lineno
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and ast.unparse(node.func).split(".")[-1] in ("create_task", "ensure_future", "run_coroutine_threadsafe")
        and not (isinstance(node.func, ast.Attribute) and ast.unparse(node.func.value) in groups)
    ]


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_every_task_has_an_owner(path: Path) -> None:
    lines = tasks_without_a_group(path)
    assert not lines or name_of(path) in OWNERS, f"lines {lines}: use a TaskGroup, or an owner that is listed here"


def test_every_owner_that_is_listed_starts_tasks() -> None:
    assert {name_of(path) for path in MODULES if tasks_without_a_group(path)} == OWNERS.keys()


def untested() -> set[str]:
    """Modules of the gateway proper without tests/…/test_<module>.py."""
    found = set()
    for path in MODULES:
        name = name_of(path)
        if path.stem.startswith("__") or name.startswith("sandbox/"):
            continue
        if not (TESTS / Path(name).parent / f"test_{path.stem}.py").exists():
            found.add(name)
    return found


def test_every_module_has_its_test_file() -> None:
    assert untested() == set(), "each module has its tests in tests/…/test_<module>.py"
