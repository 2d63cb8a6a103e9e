// A daemon of its own for each client, and a cable that can be cut.
//
// The daemon listens on any free port and names it in its log. Its data is the sample building of this repository, or,
// where the folder is there, the larger building that is shared between projects.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import net from "node:net";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { createInterface } from "node:readline";

const ROOT = resolve(import.meta.dirname, "../../..");

// Short times, so that expiry and pings are seen to happen.
const SETTINGS = [
  "http.listen=127.0.0.1:0",
  "hub.ping_ms=1000",
  "hub.pong_ms=900",
  "locks.ttl_by_type.route_edit=1",
  "drain.window_ms=100",
  "log.format=json",
];

/** The floor on which everything happens, and what lies on it. */
export function floor() {
  const shared = process.env.ARXOSRT_SHARED_DATA ?? join(ROOT, "../shared/data");
  const there = existsSync(join(shared, "buildings/office-a"));
  const [origin, building] = there ? [join(shared, "buildings"), "office-a"] : [join(ROOT, "sample"), "hq"];
  const ids = (name) =>
    JSON.parse(readFileSync(join(origin, building, "floors/level-1", name), "utf8")).map((thing) => thing.id);
  return { origin, room: `${building}:level-1`, objects: ids("objects.json"), routes: ids("routes.json") };
}

/** Starts a daemon; `address` is where it listens. */
export async function startDaemon({ origin }) {
  const program = join(process.env.CARGO_TARGET_DIR ?? join(ROOT, "target"), "debug/arxosrtd");
  if (!existsSync(program)) throw new Error("the daemon is not built: cargo build -p arxosrtd");
  const data = mkdtempSync(join(tmpdir(), "arxosrt-"));
  // An empty file instead of whichever one lies in the present folder.
  const config = join(data, "empty.toml");
  writeFileSync(config, "");
  const options = [...SETTINGS, `origin.path=${origin}`, `control.socket=${data}/control.sock`];
  const words = ["--config", config, "--data-dir", data, ...options.flatMap((option) => ["--set", option])];
  const child = spawn(program, words, { stdio: ["ignore", "ignore", "pipe"] });
  const exited = once(child, "exit");
  const said = [];
  const address = await new Promise((listening, failed) => {
    createInterface(child.stderr).on("line", (line) => {
      said.push(line);
      if (line.includes('"ready"')) listening(JSON.parse(line).http);
    });
    child.on("error", failed);
    exited.then(() => failed(new Error(`the daemon did not start:\n${said.join("\n")}`)));
  });
  return {
    address,
    /** Asks it to end in order. */
    stop: () => child.kill("SIGTERM"),
    /** Ends it if it still runs, and forgets its data. */
    async remove() {
      if (child.exitCode === null) child.kill("SIGKILL");
      await exited;
      rmSync(data, { recursive: true, force: true });
    },
  };
}

/** Passes bytes between a client and the daemon until it is cut, without a goodbye to either. */
export async function layCable(to) {
  const [host, port] = to.split(":");
  const ends = [];
  const server = net.createServer((client) => {
    const daemon = net.connect(Number(port), host);
    for (const end of [client, daemon]) ends.push(end.on("error", () => {}));
    client.pipe(daemon).pipe(client);
  });
  await once(server.listen(0, "127.0.0.1"), "listening");
  return {
    address: `127.0.0.1:${server.address().port}`,
    cut() {
      server.close();
      for (const end of ends) end.resetAndDestroy();
    },
  };
}
