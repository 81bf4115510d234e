# == bad.py
async def relay(to_trio, client):
    to_trio.send_nowait(None)
    def push(event):
        to_trio.send_nowait(event)  # found: PK505
    client.on(push)
    async for event in client:
        to_trio.send_nowait(event)  # found: PK505
# == good.py
import trio
async def relay(from_trio, to_trio, client):
    to_trio.send_nowait(None)
    def push(event):
        try:
            to_trio.send_nowait(event)
        except trio.WouldBlock:
            missed()
    while True:
        to_trio.send_nowait(await from_trio.get())
# == handed.py
async def relay(to_trio, client):
    client.on(to_trio.send_nowait)  # found: PK505
    client.on(lambda event: to_trio.send_nowait(event))  # found: PK505
# == closed.py
def push(event):
    try:
        chan.send_nowait(event)  # found: PK505
    except trio.BrokenResourceError:
        stop()
async def get_client(): ...
