# == bad/__init__.py
import tractor
@tractor.context
async def open_symbol_search(ctx: tractor.Context):
    await ctx.started({})  # found: PK122
    async with open_cached_client('bad') as client: ...
# == good/__init__.py
import tractor
@tractor.context
async def open_symbol_search(ctx: tractor.Context):
    async with open_cached_client('good') as client:
        await ctx.started({})
        async with ctx.open_stream() as stream: ...
@tractor.context
async def open_trade_dialog(ctx: tractor.Context):
    if not load():
        await ctx.started('paper')
        return
    async with open_cached_client('good') as client:
        await ctx.started(([], []))
