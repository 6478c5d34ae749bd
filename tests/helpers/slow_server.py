"""A chat completions server in a process of its own which takes its time: `python slow_server.py
SECONDS` prints its port. Requests are answered in order of arrival, any number at a time."""

import asyncio
import json
import sys

REPLY = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1,
    "model": "slow-1",
    "choices": [
        {
            "index": 0,
            "message": {"role": "assistant", "content": '{"good": true}'},
            "finish_reason": "stop",
        }
    ],
    "usage": {"prompt_tokens": 100, "completion_tokens": 7, "total_tokens": 107},
}


async def serve(seconds: float) -> None:
    body = json.dumps(REPLY).encode()
    head = (
        f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                asked = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
                length = int(asked.partition("content-length:")[2].partition("\r\n")[0])
                await reader.readexactly(length)
                await asyncio.sleep(seconds)
                writer.write(head.encode() + body)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)  # noqa: T201 - its only output
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(float(sys.argv[1])))
