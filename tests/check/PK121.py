# == bad/__init__.py
import tractor
@tractor.context
async def open_symbol_search(ctx: tractor.Context):  # found: PK121
    async with ctx.open_stream() as stream:
        async for pattern in stream:
            await stream.send({})
@tractor.context
async def open_trade_dialog(ctx: tractor.Context):
    if not load():
        return  # found: PK121
    await ctx.started(([], []))
# == deeper/__init__.py
import tractor
@tractor.context
async def open_trade_dialog(ctx: tractor.Context):  # found: PK121
    await control(ctx)
async def control(context):
    async with context.open_stream(): ...
# == good/__init__.py
import tractor
@tractor.context
async def open_symbol_search(ctx: tractor.Context):
    async with client() as it:
        await ctx.started()
@tractor.context
async def open_trade_dialog(ctx: tractor.Context):
    if not load():
        await ctx.started('paper')
        return
    if bad():
        raise ValueError
    match 1:
        case 1:
            await control(ctx)
        case _:
            await elsewhere(ctx)
async def control(context):
    async def start():
        await context.started()
    await start()
