# == bad/__init__.py
from piker.service import maybe_spawn_brokerd
async def stream_quotes():
    async with maybe_spawn_brokerd('bad'): ...  # found: PK303
async def search(an):
    await an.start_actor('brokerd.bad')  # found: PK303
# == good/__init__.py
async def stream_quotes():
    async with maybe_spawn_datad('good'): ...
async def open_brokerd_dialog():
    async with maybe_spawn_brokerd('good'): ...
