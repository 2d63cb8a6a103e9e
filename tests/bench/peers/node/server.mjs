// The hub as one would write it in an afternoon with Node and `ws`: the messages of arxosrt, in memory, no limits.
// A message is encoded once, into bytes, and sent to each member.
import { createServer } from "node:http";
import { WebSocketServer } from "ws";

const ROOM_STATE_USERS_MAX = 200; // above this, joins are not announced either, or a large room would cost n² to fill

const rooms = new Map(); // room id -> Set of members
const locks = new Map(); // resource id -> lock
const lockById = new Map();
let nextLock = 1;

const now = () => new Date().toISOString();

const TEXT = { binary: false };

function tell(room, message, except) {
  const bytes = Buffer.from(JSON.stringify({ ...message, timestamp: now() }));
  for (const member of rooms.get(room) ?? []) {
    if (member !== except) member.socket.send(bytes, TEXT);
  }
}

function reply(member, message) {
  member.socket.send(JSON.stringify({ ...message, timestamp: now() }));
}

function leave(member) {
  const room = rooms.get(member.room);
  if (!room) return;
  room.delete(member);
  if (room.size === 0) rooms.delete(member.room);
  else if (room.size < ROOM_STATE_USERS_MAX) {
    tell(member.room, { type: "user_left_room", user_id: member.user, room_id: member.room });
  }
  member.room = undefined;
}

const described = (member) => ({
  user_id: member.user,
  username: member.user,
  current_action: null,
  cursor_position: member.cursor,
});

const handlers = {
  join_room(member, { room_id }) {
    leave(member);
    if (!rooms.has(room_id)) rooms.set(room_id, new Set());
    const room = rooms.get(room_id);
    room.add(member);
    member.room = room_id;
    if (room.size <= ROOM_STATE_USERS_MAX) {
      tell(room_id, { type: "user_joined_room", user_id: member.user, username: member.user, room_id }, member);
    }
    const users = [...room].slice(0, ROOM_STATE_USERS_MAX).map(described);
    reply(member, { type: "room_state", room_id, users, locks: [] });
  },
  broadcast(member, { room_id, message }) {
    tell(room_id ?? member.room, { type: "broadcast", user_id: member.user, username: member.user, room_id, message });
  },
  update_presence(member, { cursor_position }) {
    member.cursor = cursor_position;
    tell(member.room, { type: "presence_updated", ...described(member), room_id: member.room }, member);
  },
  acquire_lock(member, { lock_type, resource_id }) {
    const held = locks.get(resource_id);
    if (held) {
      return reply(member, { type: "lock_response", success: false, result: `Resource locked by ${held.user_id}` });
    }
    const lock_id = `lock-${nextLock++}`;
    const lock = { lock_id, lock_type, resource_id, user_id: member.user, username: member.user, acquired_at: now() };
    locks.set(resource_id, lock);
    lockById.set(lock_id, lock);
    reply(member, { type: "lock_response", success: true, result: lock_id, lock_id });
    tell(member.room, { type: "lock_acquired", ...lock });
  },
  release_lock(member, { lock_id }) {
    const lock = lockById.get(lock_id);
    if (lock) {
      lockById.delete(lock_id);
      locks.delete(lock.resource_id);
    }
    reply(member, { type: "lock_release_response", success: Boolean(lock), lock_id });
    if (lock) tell(member.room, { type: "lock_released", ...lock });
  },
};

const http = createServer((request, response) => response.writeHead(request.url === "/ready" ? 200 : 404).end());
const server = new WebSocketServer({ server: http, perMessageDeflate: false });

server.on("connection", (socket, request) => {
  const member = { socket, user: request.url.split("/").at(-1), room: undefined, cursor: null };
  socket.on("message", (data) => {
    let message;
    try {
      message = JSON.parse(data);
    } catch {
      return reply(member, { type: "error", message: "Invalid JSON format" });
    }
    handlers[message.type]?.(member, message);
  });
  socket.on("close", () => leave(member));
  socket.on("error", () => {});
  reply(member, { type: "connection_established", user_id: member.user });
});

http.listen({ host: "127.0.0.1", port: Number(process.argv[2]), backlog: 4096 });
