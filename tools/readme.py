"""Writes the README's generated parts anew: what stands between `<!-- NAME -->` and `<!-- /NAME -->`."""

from pathlib import Path

from gateway import config

README = Path(__file__).resolve().parent.parent / "README.md"
PARTS = {"settings": config.settings_table}


def generated(text: str) -> str:
    """The README with its generated parts as they should be."""
    for name, make in PARTS.items():
        before, begin, rest = text.partition(f"<!-- {name} -->\n")
        _, end, after = rest.partition(f"<!-- /{name} -->")
        if not end:
            raise SystemExit(f"README.md has no place for the part '{name}'")
        text = before + begin + make() + end + after
    return text


if __name__ == "__main__":
    README.write_text(generated(README.read_text()))
