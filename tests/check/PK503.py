# == bad.py
async def relay(from_trio, to_trio, client):
    while True:
        name, kwargs = await from_trio.get()
        try:
            to_trio.send_nowait({'result': await getattr(client, name)(**kwargs)})
        except (ValueError, KeyError) as err:  # found: PK503
            to_trio.send_nowait({'exception': err})
# == good.py
import asyncio
async def relay(from_trio, to_trio, client):
    try:
        await client.call()
    except asyncio.CancelledError:
        raise
    except Exception as err:
        to_trio.send_nowait({'exception': err})
async def other():
    try:
        await call()
    except ValueError as err:
        log({'what': err})
# == spelt.py
async def relay(reply, client):
    try:
        await client.call()
    except ValueError as err:  # found: PK503
        reply(dict(exception=err))
