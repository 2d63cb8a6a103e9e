// What any client must be able to do with the daemon, told once for all of them. The same story as Python's.

import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";

import { layCable } from "./daemon.mjs";

// Nothing here takes long; what has not come by then will not.
const PATIENCE_MS = 20_000;

// See `limits.message_bytes`.
const MESSAGE_BYTES = 262_144;

/** A client that keeps what it hears until somebody asks for it. */
class Person {
  heard = [];
  nextId = 0;
  end = null;
  #waiting = new Set();

  static async arrive(client, address, user, resume) {
    const person = new Person();
    person.user = user;
    const wakeAll = () => person.#waiting.forEach((wake) => wake());
    person.socket = await client.connect(`ws://${address}/v1/realtime/ws/${encodeURIComponent(user)}`, {
      onText(text) {
        const message = JSON.parse(text);
        assert.match(message.timestamp, /Z$/);
        person.heard.push(message);
        wakeAll();
      },
      onClose(code) {
        person.end = code;
        wakeAll();
      },
    });
    assert.equal(person.socket.subprotocol, "arxosrt");
    assert.equal((await person.until("connection_established")).user_id, user);
    await person.ask({ type: "hello", protocol: 2, features: ["resume"], username: user.toUpperCase(), resume });
    person.welcome = person.take("welcome");
    return person;
  }

  /** Waits until `look` gives something. */
  async wait(what, look) {
    const deadline = Date.now() + PATIENCE_MS;
    for (;;) {
      const found = look();
      if (found !== undefined) return found;
      assert.equal(this.end, null, `${this.user} was closed while waiting for ${what}`);
      const left = deadline - Date.now();
      assert.ok(left > 0, `${this.user} waited in vain for ${what}`);
      let wake, timer;
      await new Promise((woken) => {
        wake = woken;
        timer = setTimeout(woken, left);
        this.#waiting.add(wake);
      });
      clearTimeout(timer);
      this.#waiting.delete(wake);
    }
  }

  #pick(test) {
    const at = this.heard.findIndex(test);
    return at < 0 ? undefined : this.heard.splice(at, 1)[0];
  }

  #like(type, fields) {
    const wanted = Object.entries({ type, ...fields });
    return this.#pick((message) => wanted.every(([key, value]) => message[key] === value));
  }

  /** The first message of this kind with these fields; what comes before it is kept. */
  until(type, fields) {
    return this.wait(`${type} ${JSON.stringify(fields)}`, () => this.#like(type, fields));
  }

  /** A message that must have come already. */
  take(type, fields) {
    const found = this.#like(type, fields);
    assert.ok(found, `no ${type} ${JSON.stringify(fields)}`);
    return found;
  }

  /** The code with which the connection ends. */
  closed() {
    const end = () => (this.end === null ? undefined : this.end);
    return end() ?? this.wait("the end", end);
  }

  say(message) {
    return this.socket.send(JSON.stringify(message));
  }

  /** Says something with an `id`; gives the `ack`, and fails on an `error`. */
  async ask(message) {
    const id = ++this.nextId;
    await this.say({ ...message, id });
    const answer = await this.wait(`an answer to ${message.type}`, () => this.#pick((heard) => heard.id === id));
    assert.equal(answer.type, "ack", JSON.stringify(answer));
    return answer;
  }

  async join(room) {
    await this.ask({ type: "join_room", room_id: room });
    return this.take("room_state", { room_id: room });
  }

  async acquire(lockType, resource) {
    await this.say({ type: "acquire_lock", lock_type: lockType, resource_id: resource });
    return this.until("lock_response");
  }
}

/** All steps, in order; gives their names. */
export async function run(client, daemon, floor) {
  const ana = await Person.arrive(client, daemon.address, "ana 🏢/ñ");
  const state = await ana.join(floor.room);
  assert.equal(state.users[0].user_id, ana.user);
  const cable = await layCable(daemon.address);
  const ben = await Person.arrive(client, cable.address, "ben");
  await ben.join(floor.room);
  assert.equal((await ana.until("user_joined_room", { user_id: "ben" })).username, "BEN");
  const done = ["hello", "join"];

  for (const step of [locks, expiry, messages, order, fragments, pings]) {
    if (step === fragments && !ana.socket.sendFragments) continue;
    await step(ana, ben, floor);
    done.push(step.name);
  }
  const back = await resume(client, daemon, floor, ana, ben, cable);
  await tooMuch(client, daemon);
  await farewell(client, daemon);
  await strangers(client, daemon);
  await drain(daemon, ana, back);
  return [...done, "resume", "tooMuch", "farewell", "strangers", "drain"];
}

/** One holds, the other is told who, and gets it afterwards with a larger token. */
async function locks(ana, ben, floor) {
  const resource_id = floor.objects[0];
  const first = await ana.acquire("object_edit", resource_id);
  assert.equal(first.success, true);
  assert.equal((await ben.until("lock_acquired", { resource_id })).user_id, ana.user);
  const refused = await ben.acquire("object_edit", resource_id);
  assert.deepEqual([refused.success, refused.code, refused.retryable], [false, "lock_held", true]);
  assert.equal(refused.holder.user_id, ana.user);
  await ana.say({ type: "release_lock", lock_id: first.lock_id });
  assert.equal((await ana.until("lock_release_response")).success, true);
  assert.equal((await ben.until("lock_released", { resource_id })).reason, "released");
  const second = await ben.acquire("object_edit", resource_id);
  assert.ok(second.success && second.fencing_token > first.fencing_token);
}

/** A lock that nobody renews ends, and everybody hears of it. */
async function expiry(ana, ben, floor) {
  const resource_id = floor.routes[0];
  const { lock_id, success } = await ana.acquire("route_edit", resource_id);
  assert.equal(success, true);
  assert.equal((await ana.until("lock_lost", { lock_id })).reason, "expired");
  assert.equal((await ben.until("lock_released", { resource_id })).reason, "expired");
}

/** What is not a message is answered, what is one arrives unharmed. */
async function messages(ana, ben, floor) {
  for (const [text, code] of [
    ["", "invalid_json"],
    ["[]", "not_an_object"],
    ['{"type":"🤷"}', "unknown_type"],
  ]) {
    await ana.socket.send(text);
    await ana.until("error", { code });
  }
  await ana.socket.sendBinary(new Uint8Array([0, 255]));
  await ana.until("error", { code: "not_an_object" });
  const large = "é🏗".repeat(40_000);
  for (const message of ["", 'päivää 🏢 \u0000 \u2028 \\ "', { deep: [[1.5, null, true]] }, large]) {
    await ana.ask({ type: "broadcast", room_id: floor.room, message });
    assert.deepEqual(ana.take("broadcast").message, message);
    assert.deepEqual((await ben.until("broadcast")).message, message);
  }
}

/** Many messages at once arrive completely, in order, numbered without a gap. */
async function order(ana, ben, floor) {
  const numbers = Array.from({ length: 200 }, (_, i) => i);
  await Promise.all(numbers.map((message) => ana.say({ type: "broadcast", room_id: floor.room, message })));
  const heard = [];
  for (const _ of numbers) heard.push(await ben.until("broadcast"));
  assert.deepEqual(heard.map(({ message }) => message), numbers);
  assert.deepEqual(heard.map(({ seq }) => seq - heard[0].seq), numbers);
}

/** A message in many frames is one message. Not every client can send one. */
async function fragments(ana, ben, floor) {
  const text = JSON.stringify({ type: "broadcast", room_id: floor.room, message: "in pieces 🧩" });
  ana.socket.sendFragments(text.match(/.{1,3}/gu));
  assert.equal((await ben.until("broadcast", { message: "in pieces 🧩" })).user_id, ana.user);
}

/** Both sides' pings are answered. The daemon's are due every second, so by now nobody would be left otherwise. */
async function pings(ana, ben) {
  await sleep(2500);
  for (const person of [ana, ben]) {
    await person.ask({ type: "ping" });
    person.take("pong");
    await person.socket.ping?.();
  }
}

/** Whoever loses the line comes back to everything that was said meanwhile, and still holds its locks. */
async function resume(client, daemon, floor, ana, ben, cable) {
  const [, mine, hers] = floor.objects;
  assert.equal((await ben.acquire("object_edit", mine)).success, true);
  const { epoch, seq } = await ben.until("lock_acquired", { resource_id: mine });
  cable.cut();
  assert.equal(await ben.closed(), 1006);
  for (const i of [0, 1, 2]) await ana.ask({ type: "broadcast", room_id: floor.room, message: `missed ${i}` });
  assert.equal((await ana.acquire("object_edit", hers)).success, true);
  const { session, resume_token: token } = ben.welcome;
  const wish = { session, token, rooms: { [floor.room]: { epoch, seq } } };
  const back = await Person.arrive(client, daemon.address, "ben", wish);
  assert.deepEqual([back.welcome.resumed, back.welcome.session], [true, session]);
  const state = await back.until("room_state", { room_id: floor.room });
  assert.equal(state.recovered, true);
  const missed = state.missed.map(({ message, resource_id }) => message ?? resource_id);
  assert.deepEqual(missed, ["missed 0", "missed 1", "missed 2", hers]);
  assert.deepEqual(state.missed.map((message) => message.seq - seq), [1, 2, 3, 4]);
  assert.equal(state.locks.find((lock) => lock.resource_id === mine).user_id, "ben");
  return back;
}

/** A message beyond the limit closes with 1009, and the client hears the code. */
async function tooMuch(client, daemon) {
  const eve = await Person.arrive(client, daemon.address, "eve");
  const message = (text) => ({ type: "broadcast", room_id: "nowhere", message: text });
  const filler = MESSAGE_BYTES - JSON.stringify(message("")).length;
  await eve.say(message("x".repeat(filler)));
  await eve.until("error", { code: "not_a_member" });
  await eve.say(message("x".repeat(filler + 1)));
  assert.equal(await eve.closed(), 1009);
}

/** The code of a goodbye comes back. */
async function farewell(client, daemon) {
  for (const code of [1000, 4001]) {
    const kim = await Person.arrive(client, daemon.address, "kim");
    await kim.socket.close(code);
    assert.equal(await kim.closed(), code);
  }
}

/** A page from elsewhere, and a path without a person, are turned away; with a status, where the client tells it. */
async function strangers(client, daemon) {
  const elsewhere = "https://elsewhere.example";
  for (const [path, origin, status] of [["ws/ana", elsewhere, 403], ["ws/", undefined, 400], ["no", undefined, 404]]) {
    // A page cannot choose its origin.
    if (origin && client.name.startsWith("Chromium")) continue;
    const ignore = { onText() {}, onClose() {}, origin };
    const attempt = client.connect(`ws://${daemon.address}/v1/realtime/${path}`, ignore);
    await assert.rejects(attempt, (error) => error.status === undefined || error.status === status, path);
  }
}

/** Before the daemon ends it says when to come back, and closes with 1012. */
async function drain(daemon, ...people) {
  daemon.stop();
  for (const person of people) {
    assert.equal(await person.closed(), 1012);
    assert.ok(person.take("server_draining").reconnect_after_ms > 0);
  }
}
