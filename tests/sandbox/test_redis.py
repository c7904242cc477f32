"""The embedded Redis: real servers that start, stop, start again, and say why they don't."""

import asyncio
import os
import signal
import socket
import sys
from pathlib import Path
from typing import Any

import pytest
import redis.asyncio as redis

from gateway.sandbox import redis as sandbox
from gateway.sandbox.redis import RedisError, RedisServer, embedded_redis


def script(tmp_path: Path, text: str) -> Path:
    made = tmp_path / "server"
    made.write_text(f"#!/bin/sh\n{text}\n")
    made.chmod(0o755)
    return made


async def test_a_server_lives_as_long_as_its_context() -> None:
    async with embedded_redis() as server:
        client = redis.Redis.from_url(server.url)
        assert await client.set("a", "b")
        assert (await client.config_get("save"))["save"] == ""
        assert (await client.config_get("bind"))["bind"] == "127.0.0.1"
        await client.aclose()
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", server.port)


async def test_it_comes_back_on_its_port_with_nothing_in_it() -> None:
    server = RedisServer()
    await server.start()
    client = redis.Redis.from_url(server.url)
    await client.set("a", "b")
    await client.aclose()
    await server.stop()
    await server.stop()
    await server.start()
    assert await client.get("a") is None
    await client.aclose()
    await server.stop()


async def test_it_is_not_ended_with_its_owners_terminal() -> None:
    async with embedded_redis() as server:
        assert server._process is not None
        assert os.getpgid(server._process.pid) != os.getpgrp()


OWNER = """
import asyncio
from gateway.sandbox.redis import embedded_redis
async def main():
    async with embedded_redis() as server:
        print(server.port, flush=True)
        await asyncio.Event().wait()
asyncio.run(main())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere nothing ends with whoever started it")
async def test_it_ends_with_its_owner_however_that_ends() -> None:
    owner = await asyncio.create_subprocess_exec(sys.executable, "-c", OWNER, stdout=asyncio.subprocess.PIPE)
    assert owner.stdout is not None
    reader, writer = await asyncio.open_connection("127.0.0.1", int(await owner.stdout.readline()))
    writer.write(b"PING\r\n")
    assert await reader.readline() == b"+PONG\r\n"
    owner.kill()
    await owner.wait()
    assert await reader.read() == b""
    writer.close()


async def test_it_listens_where_it_is_told_to() -> None:
    async with embedded_redis(host="127.0.0.2") as server:
        assert server.url == f"redis://127.0.0.2:{server.port}/0"
        async with redis.Redis.from_url(server.url) as client:
            assert await client.ping()
        await server.stop()
    assert RedisServer(host="::1", port=1).url == "redis://[::1]:1/0"


async def test_a_server_that_died_by_itself_can_be_stopped() -> None:
    async with embedded_redis() as server:
        assert server._process is not None
        server._process.send_signal(signal.SIGKILL)
        await server._process.wait()


async def test_a_port_that_is_taken_is_told_in_the_servers_words() -> None:
    async with embedded_redis() as first:
        second = RedisServer(port=first.port)
        with pytest.raises(RedisError, match=r"did not start: .*[Aa]ddress already in use"):
            await second.start()
        assert second._process is None


async def test_a_binary_that_is_none_is_told(tmp_path: Path) -> None:
    with pytest.raises(RedisError, match="can't be run: No such file"):
        await RedisServer(binary=tmp_path / "nothing").start()


async def test_a_server_that_says_nothing_is_ended_in_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandbox, "START_SECONDS", 0.05)
    server = RedisServer(binary=script(tmp_path, "exec sleep 60"))
    with pytest.raises(RedisError, match="did not start"):
        await server.start()
    assert server._process is None


async def test_a_start_that_is_cancelled_leaves_no_server(tmp_path: Path) -> None:
    pid, said = tmp_path / "pid", tmp_path / "said"
    os.mkfifo(said)
    server = RedisServer(binary=script(tmp_path, f"echo $$ > {pid}; echo up > {said}; exec sleep 60"))
    starting = asyncio.create_task(server.start())
    assert await asyncio.to_thread(said.read_text) == "up\n"
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid.read_text()), 0)


async def test_a_start_that_is_cancelled_at_once_leaves_no_server(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[asyncio.subprocess.Process] = []
    spawn, spawning = asyncio.create_subprocess_exec, asyncio.Event()

    async def noted(*arguments: str, **options: Any) -> asyncio.subprocess.Process:
        spawning.set()
        process = await spawn(*arguments, **options)
        made.append(process)
        return process

    monkeypatch.setattr(asyncio, "create_subprocess_exec", noted)
    server = RedisServer()
    starting = asyncio.create_task(server.start())
    await spawning.wait()
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    assert [process.returncode for process in made] == [-signal.SIGKILL]
    assert server._process is None


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a port is not held")
async def test_its_port_is_its_own_while_it_is_stopped() -> None:
    async with embedded_redis() as server:
        await server.stop()
        with socket.socket() as another, pytest.raises(OSError, match="in use"):
            another.bind(("127.0.0.1", server.port))
        await server.start()
