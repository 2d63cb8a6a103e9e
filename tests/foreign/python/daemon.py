"""A daemon of its own for each client library, and a cable that can be cut.

The daemon listens on any free port and names it in its log. Its data is the sample building of this repository, or, where
the folder is there, the larger building that is shared between projects.
"""

import asyncio
import contextlib
import json
import os
import pathlib
import signal
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[3]

# Short times, so that expiry and pings are seen to happen.
SETTINGS = [
    "http.listen=127.0.0.1:0",
    "hub.ping_ms=1000",
    "hub.pong_ms=900",
    "locks.ttl_by_type.route_edit=1",
    "drain.window_ms=100",
    "log.format=json",
]

START_LIMIT_S = 30


class Floor:
    """The floor on which everything happens, and what lies on it."""

    def __init__(self):
        shared = pathlib.Path(os.environ.get("ARXOSRT_SHARED_DATA", ROOT.parent / "shared" / "data"))
        if (shared / "buildings" / "office-a").is_dir():
            self.origin, building = shared / "buildings", "office-a"
        else:
            self.origin, building = ROOT / "sample", "hq"
        self.room = f"{building}:level-1"
        folder = self.origin / building / "floors" / "level-1"
        self.objects = [thing["id"] for thing in json.loads((folder / "objects.json").read_text())]
        self.routes = [route["id"] for route in json.loads((folder / "routes.json").read_text())]


class Daemon:
    """A running arxosrtd."""

    def __init__(self, process, address):
        self.process = process
        self.address = address

    def stop(self):
        """Asks it to end in order."""
        self.process.send_signal(signal.SIGTERM)


@contextlib.asynccontextmanager
async def daemon(floor):
    """Starts a daemon and ends it."""
    target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    program = target / "debug" / "arxosrtd"
    if not program.exists():
        raise SystemExit("the daemon is not built: cargo build -p arxosrtd")
    with tempfile.TemporaryDirectory(prefix="arxosrt-") as data:
        options = [*SETTINGS, f"origin.path={floor.origin}", f"control.socket={data}/control.sock"]
        words = [word for option in options for word in ("--set", option)]
        # An empty file instead of whichever one lies in the present folder.
        config = pathlib.Path(data) / "empty.toml"
        config.touch()
        process = await asyncio.create_subprocess_exec(
            program, "--config", config, "--data-dir", data, *words,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        said = []
        try:
            address = await asyncio.wait_for(listening(process.stdout, said), START_LIMIT_S)
            if address is None:
                raise SystemExit("the daemon did not start:\n" + "".join(said))
            rest = asyncio.create_task(process.stdout.read())
            yield Daemon(process, address)
            await asyncio.wait_for(process.wait(), START_LIMIT_S)
            await rest
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()


async def listening(log, said):
    """Reads the log up to the line that says where clients are served."""
    while line := (await log.readline()).decode():
        said.append(line)
        with contextlib.suppress(ValueError):
            entry = json.loads(line)
            if entry.get("message") == "ready":
                return entry["http"]
    return None


class Cable:
    """Passes bytes between a client and the daemon until it is cut, without a goodbye to either."""

    def __init__(self, to):
        self.to = to
        self.writers = []

    async def lay(self):
        """Gives the address for the client to connect to."""
        self.server = await asyncio.start_server(self.carry, "127.0.0.1", 0)
        host, port = self.server.sockets[0].getsockname()
        return f"{host}:{port}"

    async def carry(self, from_client, to_client):
        host, port = self.to.rsplit(":", 1)
        from_daemon, to_daemon = await asyncio.open_connection(host, int(port))
        self.writers += [to_client, to_daemon]
        await asyncio.gather(copy(from_client, to_daemon), copy(from_daemon, to_client))

    def cut(self):
        self.server.close()
        for writer in self.writers:
            writer.transport.abort()


async def copy(reader, writer):
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
        writer.close()
