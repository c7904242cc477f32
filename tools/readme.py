"""Writes the README's generated parts anew: what stands between `<!-- NAME -->` and `<!-- /NAME -->`."""

import re
from pathlib import Path

from gateway import config

README = Path(__file__).resolve().parent.parent / "README.md"
PARTS = {"settings": config.settings_table}


def generated(text: str) -> str:
    """The README with its generated parts as they should be."""
    for name, make in PARTS.items():
        pattern = rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)"
        text, found = re.subn(pattern, lambda match, made=make(): match[1] + made + match[2], text, flags=re.DOTALL)
        if found != 1:
            raise SystemExit(f"README.md has no place for the part '{name}'")
    return text


if __name__ == "__main__":
    README.write_text(generated(README.read_text()))
