"""`python -m gateway` is `turngate`."""

from gateway.cli import app

app()
