"""Writes the README's generated parts anew: what stands between `<!-- NAME -->` and `<!-- /NAME -->`."""

from pathlib import Path

from gateway import config

README = Path(__file__).resolve().parent.parent / "README.md"


def settings_table() -> str:
    """All settings as a Markdown table."""
    rows = ["| variable | default | what it is |", "| --- | --- | --- |"]
    for name, field in config.Settings.model_fields.items():
        default = field.get_default(call_default_factory=True)
        shown = (
            "" if default in (None, (), {}) else f"`{str(default).lower() if isinstance(default, bool) else default}`"
        )
        rows.append(f"| `{config.variable(name)}` | {shown} | {field.description} |")
    return "\n".join(rows) + "\n"


PARTS = {"settings": settings_table}


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
