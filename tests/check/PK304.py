# == bad/__init__.py
import tractor
async def stream_quotes(an):
    async with tractor.find_actor('x') as portal:
        if portal is None:
            portal = await an.start_actor('x')  # found: PK304
# == good/__init__.py
import tractor
async def stream_quotes(an):
    async with _locks['x'], tractor.find_actor('x') as portal:
        if portal is None:
            portal = await an.start_actor('x')
async def just_start(an):
    await an.start_actor('x')
