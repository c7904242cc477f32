"""What users install: the wheel holds what the package needs at run time, and nothing else."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The names in the wheel."""
    place = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(place)]
    subprocess.run(command, cwd=ROOT, capture_output=True, check=True)
    (file,) = place.glob("*.whl")
    return zipfile.ZipFile(file).namelist()


@pytest.mark.parametrize(
    "name",
    [
        "gateway/py.typed",
        "gateway/turngate.schema.json",
        "gateway/sandbox/assets/conversation.wav",
        "gateway/sandbox/assets/conversation.json",
    ],
)
def test_the_wheel_holds(wheel: list[str], name: str) -> None:
    assert name in wheel


def test_the_wheel_holds_no_tests_and_no_tools(wheel: list[str]) -> None:
    assert {name.split("/")[0] for name in wheel if ".dist-info" not in name} == {"gateway"}
