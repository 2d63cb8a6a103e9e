"""What any client must be able to do with the daemon, told once for all of them."""

import asyncio
import json
import urllib.parse

from clients import SUBPROTOCOL, Refused
from daemon import Cable

# Nothing here takes long; what has not come by then will not.
PATIENCE_S = 20

# See `limits.message_bytes`.
MESSAGE_BYTES = 262_144


class Person:
    """A client that keeps what it hears until somebody asks for it."""

    def __init__(self, client, user):
        self.client, self.user = client, user
        self.heard = []
        self.next_id = 0
        self.end = None
        self.arrived = asyncio.Queue()
        self.reading = asyncio.create_task(self.read())

    @classmethod
    async def arrive(cls, make, address, user, resume=None):
        path = urllib.parse.quote(user, safe="")
        client = await make().connect(f"ws://{address}/v1/realtime/ws/{path}")
        assert client.subprotocol == SUBPROTOCOL, client.subprotocol
        person = cls(client, user)
        assert (await person.until("connection_established"))["user_id"] == user
        said = {"type": "hello", "protocol": 2, "features": ["resume"], "username": user.title()}
        await person.ask(**said, **({"resume": resume} if resume else {}))
        person.welcome = person.take("welcome")
        return person

    async def read(self):
        """Reads all the time."""
        kind = None
        while kind != "close":
            kind, value = await self.client.receive()
            await self.arrived.put((kind, value))

    async def hear(self):
        """The next message; at the end, None."""
        kind, value = await asyncio.wait_for(self.arrived.get(), PATIENCE_S)
        if kind == "close":
            self.end = value
            return None
        message = json.loads(value)
        assert message["timestamp"].endswith("Z"), message
        return message

    async def until(self, kind, **fields):
        """The first message of this kind with these fields; what comes before it is kept."""
        while True:
            found = self.find(kind, fields)
            if found is not None:
                self.heard.remove(found)
                return found
            message = await self.hear()
            assert message is not None, f"{self.user} was closed with {self.end} while waiting for {kind} {fields}"
            self.heard.append(message)

    def take(self, kind, **fields):
        """A message that must have come already."""
        found = self.find(kind, fields)
        assert found is not None, f"no {kind} {fields} in {self.heard}"
        self.heard.remove(found)
        return found

    def find(self, kind, fields):
        for message in self.heard:
            if message["type"] == kind and fields.items() <= message.items():
                return message
        return None

    async def closed(self):
        """The code with which the daemon closes."""
        while (message := await self.hear()) is not None:
            self.heard.append(message)
        return self.end

    async def say(self, **message):
        await self.client.send(json.dumps(message, ensure_ascii=False))

    async def ask(self, **message):
        """Says something with an `id`; gives the `ack`, and fails on an `error`."""
        self.next_id += 1
        await self.say(**message, id=self.next_id)
        while True:
            for answer in self.heard:
                if answer.get("id") == self.next_id:
                    self.heard.remove(answer)
                    assert answer["type"] == "ack", answer
                    return answer
            heard = await self.hear()
            assert heard is not None, f"{self.user} was closed with {self.end} instead of an answer to {message['type']}"
            self.heard.append(heard)

    async def join(self, room):
        await self.ask(type="join_room", room_id=room)
        return self.take("room_state", room_id=room)

    async def acquire(self, lock_type, resource):
        await self.say(type="acquire_lock", lock_type=lock_type, resource_id=resource)
        return await self.until("lock_response")


async def run(make, daemon, floor):
    """All steps, in order; gives their names."""
    ana = await Person.arrive(make, daemon.address, "ana 🏢/ñ")
    state = await ana.join(floor.room)
    assert state["users"][0]["user_id"] == ana.user
    cable = Cable(daemon.address)
    ben = await Person.arrive(make, await cable.lay(), "ben")
    await ben.join(floor.room)
    assert (await ana.until("user_joined_room", user_id="ben"))["username"] == "Ben"
    done = ["hello", "join"]

    for step in (locks, expiry, messages, order, fragments, pings):
        if step is fragments and not ana.client.send_fragments:
            continue
        await step(ana, ben, floor)
        done.append(step.__name__)
    ben = await resume(make, daemon, floor, ana, ben, cable)
    await too_much(make, daemon)
    await farewell(make, daemon)
    await strangers(make, daemon)
    await drain(daemon, ana, ben)
    return [*done, "resume", "too_much", "farewell", "strangers", "drain"]


async def locks(ana, ben, floor):
    """One holds, the other is told who, and gets it afterwards with a larger token."""
    thing = floor.objects[0]
    first = await ana.acquire("object_edit", thing)
    assert first["success"], first
    assert (await ben.until("lock_acquired", resource_id=thing))["user_id"] == ana.user
    refused = await ben.acquire("object_edit", thing)
    assert not refused["success"] and refused["code"] == "lock_held", refused
    assert refused["holder"]["user_id"] == ana.user and refused["retryable"], refused
    await ana.say(type="release_lock", lock_id=first["lock_id"])
    assert (await ana.until("lock_release_response"))["success"]
    assert (await ben.until("lock_released", resource_id=thing))["reason"] == "released"
    second = await ben.acquire("object_edit", thing)
    assert second["success"] and second["fencing_token"] > first["fencing_token"], second


async def expiry(ana, ben, floor):
    """A lock that nobody renews ends, and everybody hears of it."""
    route = floor.routes[0]
    lock = await ana.acquire("route_edit", route)
    assert lock["success"], lock
    lost = await ana.until("lock_lost", lock_id=lock["lock_id"])
    assert lost["reason"] == "expired", lost
    assert (await ben.until("lock_released", resource_id=route))["reason"] == "expired"


async def messages(ana, ben, floor):
    """What is not a message is answered, what is one arrives unharmed."""
    for text, code in [("", "invalid_json"), ("[]", "not_an_object"), ('{"type":"🤷"}', "unknown_type")]:
        await ana.client.send(text)
        await ana.until("error", code=code)
    await ana.client.send_binary(b"\x00\xff")
    await ana.until("error", code="not_an_object")
    large = "é🏗" * 40_000
    for value in ["", "päivää 🏢 \u0000 \u2028 \\ \"", {"deep": [[1.5, None, True]]}, large]:
        await ana.ask(type="broadcast", room_id=floor.room, message=value)
        assert ana.take("broadcast", room_id=floor.room)["message"] == value
        assert (await ben.until("broadcast", room_id=floor.room))["message"] == value


async def order(ana, ben, floor):
    """Many messages at once arrive completely, in order, numbered without a gap."""
    count = 200
    for i in range(count):
        await ana.say(type="broadcast", room_id=floor.room, message=i)
    heard = [await ben.until("broadcast") for _ in range(count)]
    assert [message["message"] for message in heard] == list(range(count))
    assert [message["seq"] for message in heard] == list(range(heard[0]["seq"], heard[0]["seq"] + count))


async def fragments(ana, ben, floor):
    """A message in many frames is one message. Not every library can send one."""
    text = json.dumps({"type": "broadcast", "room_id": floor.room, "message": "in pieces 🧩"}, ensure_ascii=False)
    await ana.client.send_fragments([text[i : i + 3] for i in range(0, len(text), 3)])
    assert (await ben.until("broadcast", message="in pieces 🧩"))["user_id"] == ana.user


async def pings(ana, ben, floor):
    """Both sides' pings are answered. The daemon's are due every second, so by now nobody would be left otherwise."""
    await asyncio.sleep(2.5)
    for person in (ana, ben):
        await person.ask(type="ping")
        person.take("pong")
        await asyncio.wait_for(person.client.ping(), PATIENCE_S)


async def resume(make, daemon, floor, ana, ben, cable):
    """Whoever loses the line comes back to everything that was said meanwhile, and still holds its locks."""
    seen = await ben.acquire("object_edit", floor.objects[1])
    assert seen["success"]
    here = await ben.until("lock_acquired", resource_id=floor.objects[1])
    cable.cut()
    await ben.closed()
    for i in range(3):
        await ana.ask(type="broadcast", room_id=floor.room, message=f"missed {i}")
    lock = await ana.acquire("object_edit", floor.objects[2])
    assert lock["success"], lock
    wish = {
        "session": ben.welcome["session"],
        "token": ben.welcome["resume_token"],
        "rooms": {floor.room: {"epoch": here["epoch"], "seq": here["seq"]}},
    }
    back = await Person.arrive(make, daemon.address, "ben", resume=wish)
    assert back.welcome["resumed"], back.welcome
    assert back.welcome["session"] == ben.welcome["session"]
    state = await back.until("room_state", room_id=floor.room)
    assert state["recovered"], state
    missed = [message.get("message", message.get("resource_id")) for message in state["missed"]]
    assert missed == ["missed 0", "missed 1", "missed 2", floor.objects[2]], missed
    assert [message["seq"] for message in state["missed"]] == list(range(here["seq"] + 1, state["seq"] + 1))
    held = {lock["resource_id"]: lock["user_id"] for lock in state["locks"]}
    assert held[floor.objects[1]] == "ben", held
    return back


async def too_much(make, daemon):
    """A message beyond the limit closes with 1009, and the client hears the code."""
    eve = await Person.arrive(make, daemon.address, "eve")
    room = {"type": "broadcast", "room_id": "nowhere", "message": ""}
    filler = MESSAGE_BYTES - len(json.dumps(room))
    await eve.say(**{**room, "message": "x" * filler})
    await eve.until("error", code="not_a_member")
    await eve.say(**{**room, "message": "x" * (filler + 1)})
    assert await eve.closed() == 1009, eve.end


async def farewell(make, daemon):
    """The code of a goodbye comes back."""
    for code in (1000, 4001):
        kim = await Person.arrive(make, daemon.address, "kim")
        await kim.client.close(code)
        assert await kim.closed() == code, kim.end


async def strangers(make, daemon):
    """A page from elsewhere, and a path without a person, are turned away with a status."""
    for path, origin, status in [("ws/ana", "https://elsewhere.example", 403), ("ws/", None, 400), ("no", None, 404)]:
        try:
            await make().connect(f"ws://{daemon.address}/v1/realtime/{path}", origin=origin)
        except Refused as refused:
            assert refused.status == status, (path, refused.status)
        else:
            raise AssertionError(f"{path} was let in")


async def drain(daemon, ana, ben):
    """Before the daemon ends it says when to come back, and closes with 1012."""
    daemon.stop()
    for person in (ana, ben):
        assert await person.closed() == 1012, person.end
        assert person.take("server_draining")["reconnect_after_ms"] > 0
