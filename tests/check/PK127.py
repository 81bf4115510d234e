# == bad/__init__.py
async def open_symbol_search(ctx):
    async with ctx.open_stream() as stream:
        async for pattern in stream:
            if not pattern:
                continue  # found: PK127
            await stream.send({})
# == falls/__init__.py
async def open_symbol_search(ctx):
    async for pattern in stream:  # found: PK127
        if pattern:
            await stream.send({})
# == good/__init__.py
async def open_symbol_search(ctx):
    async with ctx.open_stream() as stream:
        async for pattern in stream:
            if not pattern:
                await stream.send({})
                continue
            for retry in range(3):
                if retry:
                    continue
            await stream.send(await search(pattern))
# == handed/__init__.py
from .elsewhere import answer
async def open_symbol_search(ctx):
    async for pattern in stream:
        if pattern:
            await answer(stream)
        else:
            await answer(stream, '')
