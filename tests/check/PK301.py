# == bad/__init__.py
from .api import get_client
# == bad/api.py
from tractor import to_asyncio
async def get_client():
    async with to_asyncio.open_channel_from(f): ...  # found: PK301
# == without/__init__.py
from .api import get_client
_spawn_kwargs = {'infect_asyncio': False}
# == without/api.py
import tractor
async def get_client():
    await tractor.to_asyncio.run_task(f)  # found: PK301
# == good/__init__.py
from .api import get_client
_spawn_kwargs = {'infect_asyncio': True}
# == good/api.py
from tractor.to_asyncio import open_channel_from
async def get_client():
    async with open_channel_from(f): ...
