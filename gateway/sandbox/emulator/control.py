"""The emulator's own HTTP endpoints: what it heard, and its knobs."""

from __future__ import annotations

from typing import Protocol

import msgspec
from aiohttp import web

from gateway.sandbox.emulator.knobs import Knobs, as_json, changed
from gateway.sandbox.emulator.record import EmulatedSession


class Controlled(Protocol):
    """What the endpoints show and change."""

    knobs: Knobs

    @property
    def sessions(self) -> list[EmulatedSession]:
        """The sessions in order of arrival."""


class Control:
    """Handlers over one emulator."""

    def __init__(self, emulator: Controlled) -> None:
        self._emulator = emulator

    async def sessions(self, _request: web.Request) -> web.Response:
        """`GET /emulator/sessions`: all sessions, without audio and credentials."""
        return web.json_response([session.as_json() for session in self._emulator.sessions])

    async def audio(self, request: web.Request) -> web.Response:
        """`GET /emulator/sessions/{id}/audio`: the bytes as heard."""
        wanted = request.match_info["id"]
        found = next((session for session in self._emulator.sessions if session.id == wanted), None)
        if found is None:
            return _problem(404, "no such session")
        return web.Response(body=found.audio, content_type="application/octet-stream")

    async def knobs(self, _request: web.Request) -> web.Response:
        """`GET /emulator/knobs`: the knobs by name."""
        return web.json_response(as_json(self._emulator.knobs))

    async def turn(self, request: web.Request) -> web.Response:
        """`PATCH /emulator/knobs`: set some of them, for sessions that start afterwards."""
        try:
            changes = msgspec.json.decode(await request.read(), type=dict[str, object])
            self._emulator.knobs = changed(self._emulator.knobs, changes)
        except ValueError as error:  # msgspec's errors are ValueErrors too
            return _problem(400, str(error))
        return web.json_response(as_json(self._emulator.knobs))


def add_routes(app: web.Application, emulator: Controlled) -> None:
    """Put the endpoints into an application."""
    control = Control(emulator)
    app.add_routes(
        [
            web.get("/emulator/sessions", control.sessions),
            web.get("/emulator/sessions/{id}/audio", control.audio),
            web.get("/emulator/knobs", control.knobs),
            web.patch("/emulator/knobs", control.turn),
        ]
    )


def _problem(status: int, text: str) -> web.Response:
    return web.json_response({"error": text}, status=status)
