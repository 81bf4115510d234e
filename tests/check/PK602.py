# == bad.py
import tractor
async def get_client():
    try:
        await portal.run()
    except tractor.RemoteActorError as err:
        if err.type is ValueError: ...  # found: PK602
# == good.py
import tractor
async def get_client():
    try:
        await portal.run()
    except tractor.RemoteActorError as err:
        if err.boxed_type is ValueError: ...
    except ValueError as err:
        err.type
