# == bad.py
import trio
async def get_client():
    try:
        await trio.sleep(1)
    except BaseException:  # found: PK601
        log()
    try:
        await trio.sleep(1)
    except:  # found: PK601
        log()
    try:
        await trio.sleep(1)
    except (ValueError, trio.Cancelled):  # found: PK601
        log()
# == good.py
import asyncio
import trio
async def get_client():
    try:
        await trio.sleep(1)
    except trio.Cancelled:
        raise
    except BaseException:
        log()
    try:
        await trio.sleep(1)
    except Exception:
        log()
    try:
        work()
    except BaseException:
        log()
    try:
        await trio.sleep(1)
    except BaseException:
        log()
        raise
async def on_asyncio():
    try:
        await asyncio.sleep(1)
    except BaseException:
        log()
