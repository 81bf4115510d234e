# == bad.py
import tractor
import trio
async def get_client():
    with trio.CancelScope() as scope:  # found: PK605
        async with tractor.open_nursery() as an: ...
# == good.py
import tractor
import trio
async def get_client():
    async with tractor.open_nursery() as an:
        with trio.CancelScope() as scope: ...
    with trio.CancelScope() as scope:
        async with trio.open_nursery() as tn: ...
