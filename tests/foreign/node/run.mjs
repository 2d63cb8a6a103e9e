#!/usr/bin/env node
// Node's WebSocket clients and Chromium against the real daemon: target/debug/arxosrtd, started once for each of them.
//
//     tests/foreign/node/run.mjs [ws] [undici] [chromium]
//
// Needs `npm ci` here, and Debian's chromium (or $CHROMIUM); tests/run sees to both.

import * as clients from "./clients.mjs";
import { floor as readFloor, startDaemon } from "./daemon.mjs";
import { run } from "./scenario.mjs";

// Of all steps with one client.
const TIME_LIMIT_MS = 120_000;

const asked = process.argv.slice(2);
const floor = readFloor();
console.log(`room ${floor.room}, ${floor.objects.length} objects`);
for (const name of asked.length ? asked : Object.keys(clients)) {
  const began = performance.now();
  const seconds = () => `${((performance.now() - began) / 1000).toFixed(1)} s`;
  let client, daemon, timer;
  try {
    client = await clients[name]();
    daemon = await startDaemon(floor);
    const late = new Promise((_, reject) => {
      timer = setTimeout(() => reject(new Error("took too long")), TIME_LIMIT_MS);
    });
    const steps = await Promise.race([run(client, daemon, floor), late]);
    console.log(`ok    ${client.name}: ${steps.join(", ")} (${seconds()})`);
  } catch (error) {
    process.exitCode = 1;
    console.log(`FAIL  ${client?.name ?? name} (${seconds()})`);
    console.log(error);
  } finally {
    clearTimeout(timer);
    await client?.end();
    await daemon?.remove();
  }
}
