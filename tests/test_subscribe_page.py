"""docs/subscribe.md: its Python does what the page says."""

import asyncio
import re
import subprocess
import sys
from pathlib import Path

import pytest
from redis.asyncio import Redis

from tests.telling import Teller, Writer

PAGE = Path(__file__).parents[1] / "docs" / "subscribe.md"
PLAIN, LIBRARY = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)


@pytest.mark.parametrize(("code", "late"), [(PLAIN, False), (LIBRARY, True)], ids=["plain", "library"])
async def test_its_python_prints_what_is_said(
    code: str, late: bool, redis_url: str, prefix: str, redis_client: Redis
) -> None:
    code = code.replace("redis://127.0.0.1:6379/0", redis_url)
    code = code.replace("turngate:", f"{prefix}:").replace('.call("CA1")', '.call("CA1", linger=0)')
    code = code.replace(f'Transcripts("{redis_url}")', f'Transcripts("{redis_url}", "{prefix}")')
    writer, told = Writer(redis_client, prefix), Teller().whole("hello", "good bye")
    if late:
        await writer.write(*told)
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", code, stdout=subprocess.PIPE)
    while not late and (await redis_client.pubsub_numsub(writer.call_key()))[0][1] == 0:
        pass
    if not late:
        await writer.write(*told)
    out, _ = await process.communicate()
    assert out.decode().splitlines() == ["inbound hello", "inbound good bye"]
    assert process.returncode == 0
