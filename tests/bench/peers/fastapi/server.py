"""The hub as one would write it in an afternoon with FastAPI: the messages of arxosrt, in memory, no limits.

A message is encoded once and sent to each member.
"""

import json
import sys
from datetime import datetime, timezone

import uvicorn
from fastapi import FastAPI, WebSocket, WebSocketDisconnect

# Above this, joins are not announced either, or a large room would cost n² to fill.
ROOM_STATE_USERS_MAX = 200

app = FastAPI()
rooms: dict[str, dict[int, "Member"]] = {}
locks: dict[str, dict] = {}
lock_by_id: dict[str, dict] = {}


class Member:
    def __init__(self, socket: WebSocket, user: str):
        self.socket = socket
        self.user = user
        self.room: str | None = None
        self.cursor = None

    def described(self) -> dict:
        return {
            "user_id": self.user,
            "username": self.user,
            "current_action": None,
            "cursor_position": self.cursor,
        }


def encoded(message: dict) -> str:
    message["timestamp"] = datetime.now(timezone.utc).isoformat()
    return json.dumps(message)


async def tell(room: str | None, message: dict, besides: Member | None = None) -> None:
    text = encoded(message)
    for member in list(rooms.get(room, {}).values()):
        if member is not besides:
            try:
                await member.socket.send_text(text)
            except (WebSocketDisconnect, RuntimeError):
                pass  # its own handler sees the end and removes it


async def reply(member: Member, message: dict) -> None:
    await member.socket.send_text(encoded(message))


async def leave(member: Member) -> None:
    room = rooms.get(member.room)
    if room is None:
        return
    room.pop(id(member), None)
    if not room:
        del rooms[member.room]
    elif len(room) < ROOM_STATE_USERS_MAX:
        await tell(member.room, {"type": "user_left_room", "user_id": member.user, "room_id": member.room})
    member.room = None


async def join_room(member: Member, message: dict) -> None:
    await leave(member)
    room_id = message["room_id"]
    room = rooms.setdefault(room_id, {})
    room[id(member)] = member
    member.room = room_id
    if len(room) <= ROOM_STATE_USERS_MAX:
        joined = {"type": "user_joined_room", "user_id": member.user, "username": member.user, "room_id": room_id}
        await tell(room_id, joined, member)
    users = [other.described() for other in list(room.values())[:ROOM_STATE_USERS_MAX]]
    await reply(member, {"type": "room_state", "room_id": room_id, "users": users, "locks": []})


async def broadcast(member: Member, message: dict) -> None:
    room_id = message.get("room_id", member.room)
    out = {"type": "broadcast", "user_id": member.user, "username": member.user, "room_id": room_id}
    await tell(room_id, out | {"message": message.get("message")})


async def update_presence(member: Member, message: dict) -> None:
    member.cursor = message.get("cursor_position")
    await tell(member.room, {"type": "presence_updated"} | member.described() | {"room_id": member.room}, member)


async def acquire_lock(member: Member, message: dict) -> None:
    resource_id = message["resource_id"]
    held = locks.get(resource_id)
    if held is not None:
        result = f"Resource locked by {held['user_id']}"
        return await reply(member, {"type": "lock_response", "success": False, "result": result})
    acquire_lock.count += 1
    lock_id = f"lock-{acquire_lock.count}"
    lock = {
        "lock_id": lock_id,
        "lock_type": message["lock_type"],
        "resource_id": resource_id,
        "user_id": member.user,
        "username": member.user,
    }
    locks[resource_id] = lock_by_id[lock_id] = lock
    await reply(member, {"type": "lock_response", "success": True, "result": lock_id, "lock_id": lock_id})
    await tell(member.room, {"type": "lock_acquired"} | lock)


acquire_lock.count = 0


async def release_lock(member: Member, message: dict) -> None:
    lock = lock_by_id.pop(message["lock_id"], None)
    if lock is not None:
        del locks[lock["resource_id"]]
    answer = {"type": "lock_release_response", "success": lock is not None, "lock_id": message["lock_id"]}
    await reply(member, answer)
    if lock is not None:
        await tell(member.room, {"type": "lock_released"} | lock)


HANDLERS = {
    handler.__name__: handler
    for handler in (join_room, broadcast, update_presence, acquire_lock, release_lock)
}


@app.get("/ready")
async def ready() -> dict:
    return {"ready": True}


@app.websocket("/v1/realtime/ws/{user}")
async def serve(socket: WebSocket, user: str) -> None:
    await socket.accept()
    member = Member(socket, user)
    try:
        await reply(member, {"type": "connection_established", "user_id": user})
        while True:
            message = json.loads(await socket.receive_text())
            handler = HANDLERS.get(message.get("type"))
            if handler is not None:
                await handler(member, message)
    except (WebSocketDisconnect, RuntimeError):
        pass
    finally:
        await leave(member)


if __name__ == "__main__":
    uvicorn.run(
        app,
        host="127.0.0.1",
        port=int(sys.argv[1]),
        loop="uvloop",
        ws="websockets",
        ws_per_message_deflate=False,
        ws_ping_interval=None,
        backlog=4096,
        log_level="warning",
        access_log=False,
    )
