// WebSocket clients that others wrote, each behind the same few verbs: two libraries, and a browser.
//
// `connect` gives `{subprotocol, send, sendBinary, close}`, calls `onText` for each message and `onClose` with the code
// at the end. `ping` and `sendFragments` are there where the client has them; a browser's page has neither.

import { createServer } from "node:http";
import { once } from "node:events";
import { createRequire } from "node:module";

const require = createRequire(import.meta.url);
const version = (name) => `${name} ${require(`${name}/package.json`).version}`;

const SUBPROTOCOL = "arxosrt";

/** https://github.com/websockets/ws: offers permessage-deflate, can send fragments. */
export async function ws() {
  const { WebSocket } = await import("ws");
  return {
    name: version("ws"),
    connect(url, { onText, onClose, origin }) {
      const socket = new WebSocket(url, SUBPROTOCOL, { origin, perMessageDeflate: true });
      return new Promise((connected, failed) => {
        socket.on("message", (data) => onText(data.toString()));
        socket.on("close", onClose);
        socket.on("error", failed);
        socket.on("unexpected-response", (_, answer) => {
          failed(Object.assign(new Error(`HTTP ${answer.statusCode}`), { status: answer.statusCode }));
        });
        socket.on("open", () =>
          connected({
            subprotocol: socket.protocol,
            send: (text) => socket.send(text),
            sendBinary: (bytes) => socket.send(bytes, { binary: true }),
            sendFragments: (parts) =>
              parts.forEach((part, i) => socket.send(part, { binary: false, fin: i === parts.length - 1 })),
            ping: async () => {
              socket.ping("are you there");
              const [payload] = await once(socket, "pong");
              if (payload.toString() !== "are you there") throw new Error(`a strange pong: ${payload}`);
            },
            close: (code) => socket.close(code),
          }),
        );
      });
    },
    end() {},
  };
}

/** https://github.com/nodejs/undici: the WebSocket that Node itself carries from version 22 on. */
export async function undici() {
  const { WebSocket } = await import("undici");
  return {
    name: version("undici"),
    connect(url, { onText, onClose, origin }) {
      const headers = origin ? { origin } : {};
      const socket = new WebSocket(url, { protocols: [SUBPROTOCOL], headers });
      return new Promise((connected, failed) => {
        socket.onmessage = ({ data }) => onText(data);
        socket.onclose = ({ code }) => onClose(code);
        // The standard's WebSocket does not tell pages why a handshake failed.
        socket.onerror = () => failed(new Error("not connected"));
        socket.onopen = () =>
          connected({
            subprotocol: socket.protocol,
            send: (text) => socket.send(text),
            sendBinary: (bytes) => socket.send(bytes),
            close: (code) => socket.close(code),
          });
      });
    },
    end() {},
  };
}

// What the browser may not do: anything that leaves this machine, and sandboxing as root.
const CHROMIUM_OPTIONS = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];

/** A page in Chromium. It is served from loopback: pages from elsewhere may not talk to loopback. */
export async function chromium() {
  const { chromium: playwright } = await import("playwright-core");
  const executablePath = process.env.CHROMIUM ?? "/usr/bin/chromium";
  const browser = await playwright.launch({ executablePath, args: CHROMIUM_OPTIONS });
  const server = createServer((_, answer) => {
    answer.setHeader("content-type", "text/html");
    answer.end("<!doctype html><title>arxosrt</title>");
  });
  await once(server.listen(0, "127.0.0.1"), "listening");
  const page = await browser.newPage();
  const sockets = new Map();
  await page.exposeFunction("tell", (id, what, value) => sockets.get(id)[what](value));
  await page.goto(`http://127.0.0.1:${server.address().port}/`);
  await page.evaluate(() => (window.sockets = new Map()));
  return {
    name: `Chromium ${browser.version()}`,
    async connect(url, { onText, onClose }) {
      const id = sockets.size + 1;
      sockets.set(id, { onText, onClose });
      const subprotocol = await page.evaluate(
        ([id, url, subprotocol]) =>
          new Promise((connected, failed) => {
            const socket = new WebSocket(url, subprotocol);
            window.sockets.set(id, socket);
            socket.onmessage = ({ data }) => window.tell(id, "onText", data);
            socket.onclose = ({ code }) => window.tell(id, "onClose", code);
            socket.onerror = () => failed(new Error("not connected"));
            socket.onopen = () => connected(socket.protocol);
          }),
        [id, url, SUBPROTOCOL],
      );
      const send = (text) => page.evaluate(([id, text]) => window.sockets.get(id).send(text), [id, text]);
      const sendBinary = (bytes) =>
        page.evaluate(([id, bytes]) => window.sockets.get(id).send(new Uint8Array(bytes)), [id, [...bytes]]);
      const close = (code) => page.evaluate(([id, code]) => window.sockets.get(id).close(code), [id, code]);
      return { subprotocol, send, sendBinary, close };
    },
    async end() {
      await browser.close();
      server.close();
    },
  };
}
