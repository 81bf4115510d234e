# == bad/__init__.py
import tractor
@tractor.context
async def watch(ctx: tractor.Context):  # found: PK125
    await trio.sleep(1)
async def stream_quotes(): ...
# == good/__init__.py
import tractor
@tractor.context
async def watch(ctx: tractor.Context):
    try:
        await ctx.started()
        await trio.sleep_forever()
    finally:
        print()
@tractor.context
async def wait(ctx: tractor.Context):
    while True:
        await trio.sleep(1)
async def stream_quotes(): ...
@tractor.context
async def caught(ctx: tractor.Context):
    try:
        await ctx.started()
        await trio.sleep_forever()
    except OSError:
        log()
