"""Three WebSocket clients that others wrote, each behind the same few verbs.

A client gives `("text", str)` for a message and `("close", code)` at the end, and somebody must always be waiting for it:
some of these libraries answer pings only while they are being read.
"""

import asyncio

import aiohttp
import websocket
import websockets.asyncio.client
import websockets.exceptions

# The code of an end without a close frame.
ABNORMAL = 1006

SUBPROTOCOL = "arxosrt"


class Refused(Exception):
    """The handshake was answered with this HTTP status."""

    def __init__(self, status):
        super().__init__(f"HTTP {status}")
        self.status = status


class Websockets:
    """https://github.com/python-websockets: asyncio, offers permessage-deflate, can send fragments."""

    name = f"websockets {websockets.__version__}"

    async def connect(self, url, origin=None):
        try:
            self.socket = await websockets.asyncio.client.connect(
                url, origin=origin, subprotocols=[SUBPROTOCOL], max_size=None, ping_interval=None
            )
        except websockets.exceptions.InvalidStatus as refused:
            raise Refused(refused.response.status_code) from refused
        self.subprotocol = self.socket.subprotocol
        return self

    async def send(self, text):
        await self.socket.send(text)

    async def send_binary(self, data):
        await self.socket.send(data)

    async def send_fragments(self, parts):
        await self.socket.send(parts)

    async def receive(self):
        try:
            return ("text", await self.socket.recv())
        except websockets.exceptions.ConnectionClosed as closed:
            return ("close", closed.rcvd.code if closed.rcvd else ABNORMAL)

    async def ping(self):
        await (await self.socket.ping())

    async def close(self, code):
        await self.socket.close(code)


class Aiohttp:
    """https://github.com/aio-libs/aiohttp: asyncio, its own parser, offers permessage-deflate."""

    name = f"aiohttp {aiohttp.__version__}"

    async def connect(self, url, origin=None):
        self.session = aiohttp.ClientSession()
        try:
            self.socket = await self.session.ws_connect(
                url, origin=origin, protocols=[SUBPROTOCOL], compress=15, max_msg_size=0, autoping=False
            )
        except aiohttp.WSServerHandshakeError as refused:
            await self.session.close()
            raise Refused(refused.status) from refused
        self.subprotocol = self.socket.protocol
        self.ponged, self.parted = asyncio.Event(), asyncio.Event()
        return self

    async def send(self, text):
        await self.socket.send_str(text)

    async def send_binary(self, data):
        await self.socket.send_bytes(data)

    send_fragments = None

    async def receive(self):
        while True:
            message = await self.socket.receive()
            if message.type is aiohttp.WSMsgType.TEXT:
                return ("text", message.data)
            if message.type is aiohttp.WSMsgType.PING:
                await self.socket.pong(message.data)
            elif message.type is aiohttp.WSMsgType.PONG:
                self.ponged.set()
            else:
                if message.type is aiohttp.WSMsgType.CLOSING:
                    # We began it, and close() itself reads the answer.
                    await self.parted.wait()
                await self.session.close()
                return ("close", self.socket.close_code)

    async def ping(self):
        self.ponged.clear()
        await self.socket.ping(b"are you there")
        await self.ponged.wait()

    async def close(self, code):
        await self.socket.close(code=code)
        self.parted.set()


class WebsocketClient:
    """https://github.com/websocket-client: blocking, so each verb runs in a thread; can send any frame."""

    name = f"websocket-client {websocket.__version__}"

    async def connect(self, url, origin=None):
        try:
            self.socket = await asyncio.to_thread(
                websocket.create_connection, url, timeout=60, origin=origin, subprotocols=[SUBPROTOCOL]
            )
        except websocket.WebSocketBadStatusException as refused:
            raise Refused(refused.status_code) from refused
        self.subprotocol = self.socket.getsubprotocol()
        self.ponged = asyncio.Event()
        return self

    async def send(self, text):
        await asyncio.to_thread(self.socket.send, text)

    async def send_binary(self, data):
        await asyncio.to_thread(self.socket.send_binary, data)

    async def send_fragments(self, parts):
        abnf = websocket.ABNF
        for i, part in enumerate(parts):
            opcode = abnf.OPCODE_TEXT if i == 0 else abnf.OPCODE_CONT
            frame = abnf.create_frame(part.encode(), opcode, fin=int(i == len(parts) - 1))
            await asyncio.to_thread(self.socket.send_frame, frame)

    async def receive(self):
        while True:
            try:
                opcode, data = await asyncio.to_thread(self.socket.recv_data, True)
            except (websocket.WebSocketConnectionClosedException, ConnectionError):
                return ("close", ABNORMAL)
            if opcode == websocket.ABNF.OPCODE_TEXT:
                return ("text", data.decode())
            if opcode == websocket.ABNF.OPCODE_PONG:
                self.ponged.set()
            if opcode == websocket.ABNF.OPCODE_CLOSE:
                await asyncio.to_thread(self.socket.shutdown)
                return ("close", int.from_bytes(data[:2], "big") if data else 1005)

    async def ping(self):
        self.ponged.clear()
        await asyncio.to_thread(self.socket.ping, "are you there")
        await self.ponged.wait()

    async def close(self, code):
        await asyncio.to_thread(self.socket.send_close, code)


ALL = [Websockets, Aiohttp, WebsocketClient]
