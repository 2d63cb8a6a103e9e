#!/usr/bin/env python3
"""Python's WebSocket clients against the real daemon: target/debug/arxosrtd, started once for each of them.

    tests/foreign/python/run.py [NAME…]     part of a library's name, such as aiohttp

Needs the packages of requirements.txt; tests/run keeps them in tests/.cache/python.
"""

import asyncio
import sys
import time
import traceback

import clients
import scenario
from daemon import Floor, daemon

# Of all steps with one library.
TIME_LIMIT_S = 120


async def main(names):
    floor = Floor()
    print(f"room {floor.room}, {len(floor.objects)} objects")
    chosen = [make for make in clients.ALL if not names or any(name in make.name for name in names)]
    if not chosen:
        sys.exit("no client has that name")
    failed = 0
    for make in chosen:
        began = time.monotonic()
        try:
            async with daemon(floor) as running:
                steps = await asyncio.wait_for(scenario.run(make, running, floor), TIME_LIMIT_S)
            print(f"ok    {make.name}: {', '.join(steps)} ({time.monotonic() - began:.1f} s)", flush=True)
        except Exception:
            failed += 1
            print(f"FAIL  {make.name} ({time.monotonic() - began:.1f} s)", flush=True)
            traceback.print_exc()
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main(sys.argv[1:])))
