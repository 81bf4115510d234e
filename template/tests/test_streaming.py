"""
Streams between actors, at both of their ends.
"""

from __future__ import annotations

from typing import Any

import pytest
import trio
import trio.testing

from minipiker import _streaming
from minipiker._streaming import CreditStream
from minipiker._tractor import open_nursery


class OneEnd:
    """
    Of a stream that the runtime has opened, as far as `CreditStream` uses it.
    """

    def __init__(
        self,
        send_chan: trio.MemorySendChannel[Any],
        recv_chan: trio.MemoryReceiveChannel[Any],
    ) -> None:
        self.sent: list[Any] = []
        self._chan = send_chan
        self.receive = recv_chan.receive

    async def send(self, msg: Any) -> None:
        self.sent.append(msg)
        await self._chan.send(msg)


@pytest.fixture
def ends() -> tuple[Any, Any]:
    there = trio.open_memory_channel[Any](1000)
    back = trio.open_memory_channel[Any](1000)
    return OneEnd(there[0], back[1]), OneEnd(back[0], there[1])


async def test_messages_go_as_bytes(ends: tuple[Any, Any]) -> None:
    """
    The runtime prints what it is given, which takes longer the more there is in it.
    """
    here, there = map(CreditStream, ends)
    for msg in ({'price': 0.5, 'ticks': [{'size': 1}]}, 7, None, b'bars'):
        await here.send(msg)
        assert await there.receive() == msg
    assert {type(it) for it in ends[0].sent} == {bytes}


async def test_a_stream_is_as_fast_as_its_consumer(ends: tuple[Any, Any]) -> None:
    """
    Nothing is sent that the other end has no room for, and nothing left out; both
    ways at once, where each of two tasks reads what is for the other as well.
    """
    here, there = map(CreditStream, ends)

    async def send_all(stream: CreditStream) -> None:
        for number in range(500):
            await stream.send(number)

    async def receive_all(stream: CreditStream) -> None:
        assert [await stream.receive() for _ in range(500)] == [*range(500)]

    async with open_nursery() as tn:
        tn.start_soon(send_all, here)
        tn.start_soon(send_all, there)
        await trio.testing.wait_all_tasks_blocked()
        assert [len(it.sent) for it in ends] == [_streaming._window] * 2
        tn.start_soon(receive_all, here)
        tn.start_soon(receive_all, there)
