# == bad.py
import tractor
async def get_client(portal: tractor.Portal):
    async with portal.open_context(f) as (ctx, first):
        await ctx.result()  # found: PK603
    await portal.result()  # found: PK603
# == good.py
async def get_client(portal, future):
    async with portal.open_context(f) as (ctx, first):
        await ctx.wait_for_result()
    future.result()
