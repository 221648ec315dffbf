"""The first example of docs/embedding.md runs as it stands there, but for the hour that it waits."""

import asyncio
import re
import subprocess
import sys
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "embedding.md"


async def test_the_example_prints_where_it_serves(tmp_path):
    (example, *_) = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    program = tmp_path / "example.py"
    program.write_text(example.replace("sleep(3600)", "sleep(0)"))
    ran = await asyncio.to_thread(
        subprocess.run, [sys.executable, program], capture_output=True, text=True, timeout=50
    )
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+\n", ran.stdout), ran.stderr
