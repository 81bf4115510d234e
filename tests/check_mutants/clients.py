"""Rules broken in a generated backend, by the loop that its client lives on."""

from __future__ import annotations

from .edits import INIT, Mutants
from .generated import GENERATED

TRIO: Mutants = {
    **GENERATED,
    'PK301': [
        (
            'api.py',
            '',
            """

async def ask(method, **kwargs):
    from tractor.to_asyncio import run_task

    return await run_task(partial(method, **kwargs))
""",
        )
    ],
}

ASYNCIO: Mutants = {
    **GENERATED,
    'PK301': [(INIT, "{'infect_asyncio': True}", '{}')],
    'PK501': [
        (
            '_proxy.py',
            '    def _receive(self, mid',
            """    async def _call(self, method: str, *args: Any) -> Any:
        await self._chan.send((method, args))
        reply = await self._chan.receive()
        return reply['result']

    def _receive(self, mid""",
        )
    ],
    'PK502': [
        (
            '_proxy.py',
            '    def _receive(self, mid',
            """    async def _call(self, method: str, *args: Any) -> Any:
        mid = next(self._mids)
        await self._chan.send((mid, method, args))
        while (reply := await self._chan.receive())['mid'] != mid:
            log.warning('not mine: %s', reply)
        return reply['result']

    def _receive(self, mid""",
        )
    ],
    'PK503': [
        (
            '_proxy.py',
            '        except BaseException as err:\n            self._reply',
            '        except (ValueError, OSError) as err:\n            self._reply',
        )
    ],
    'PK504': [
        (
            'api.py',
            '',
            """

async def ask(method, seconds, **kwargs):
    with trio.fail_after(seconds):
        return await tractor.to_asyncio.run_task(partial(method, **kwargs))
""",
        )
    ],
    'PK505': [
        (
            '_events.py',
            """        except trio.WouldBlock:
            self._recv.receive_nowait()
            self._send.send_nowait(event)
            self._missed += 1
""",
            '',
        )
    ],
}
