"""
History: the time series that a backend's `open_history_client()` loads.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import tractor

from .._streaming import CreditStream, open_endpoint
from .._tractor import context
from ..accounting import unpack_fqme
from ..brokers import DataUnavailable, NoData, get_brokermod
from ..log import get_logger
from ._daemon import maybe_spawn_datad
from ._source import def_iohlcv_fields
from .validate import BadFrame, validate_frame

if TYPE_CHECKING:
    import numpy as np
    import pendulum

log = get_logger('data.tsp')


@context
async def manage_history(
    ctx: tractor.Context,
    brokername: str,
    fqme: str,
    timeframe: float,
    count: int,
) -> None:
    """
    RPC endpoint of `datad`: backfill the latest `count` bars of `timeframe`
    seconds, or as many as there are.

    Starts with the market's fqme; streams frames as bytes, the latest first, and
    `None` after the last.
    """
    mod = get_brokermod(brokername)
    mkt, _ = await mod.get_mkt_info(fqme.removesuffix(f'.{brokername}'))
    await ctx.started(mkt.fqme)
    async with (
        ctx.open_stream() as stream,
        mod.open_history_client(mkt) as (get_hist, config),
    ):
        sender = CreditStream(stream)
        end_dt: pendulum.DateTime | None = None
        while count > 0:
            try:
                frame, start, end = await get_hist(timeframe, end_dt=end_dt)
            except DataUnavailable:
                if end_dt is None:
                    raise
                log.info('%s: no history before %s', mkt.fqme, end_dt)
                break
            except NoData:
                end_dt = skip_gap(end_dt, timeframe, config)
                continue
            validate_frame(frame, start, end, timeframe)
            if end_dt is not None and end >= end_dt:
                raise BadFrame(f'{mkt.fqme}: a frame up to {end_dt} ends at {end}')
            await sender.send(frame[-count:].tobytes())
            count -= frame.size
            end_dt = start
        await sender.send(None)


def skip_gap(
    end_dt: pendulum.DateTime | None,
    timeframe: float,
    config: dict[str, Any],
) -> pendulum.DateTime:
    """
    Where history is looked for next when a backend has `NoData` before `end_dt`: one
    frame earlier, of the length that it names in its `config`.

    Raises `BadFrame` where piker would be killed: by a first frame without data, and
    by a backend that does not say how long its frames are.
    """
    length = config.get('frame_types', {}).get(timeframe)
    if end_dt is None or length is None:
        raise BadFrame(
            'NoData is for a gap, and needs config["frame_types"][timeframe], the '
            'length of a frame; raise DataUnavailable where history ends'
        )
    earlier: pendulum.DateTime = end_dt - length
    return earlier


async def load_history(
    fqme: str,
    timeframe: float = 60,
    count: int = 1000,
    loglevel: str | None = None,
) -> np.ndarray:
    """
    The latest `count` bars of `timeframe` seconds (fewer where history is shorter),
    ascending, with the columns of `def_iohlcv_fields`.

    A `tractor.RemoteActorError` boxes what the backend raised: `DataUnavailable` for
    a timeframe that it does not have.
    """
    import numpy as np

    dtype = np.dtype(def_iohlcv_fields)
    brokername, *_ = unpack_fqme(fqme)
    frames: list[np.ndarray] = []
    async with open_endpoint(
        maybe_spawn_datad(brokername, loglevel),
        manage_history,
        brokername=brokername,
        fqme=fqme,
        timeframe=timeframe,
        count=count,
    ) as (_, stream):
        async for frame in CreditStream(stream):
            if frame is None:
                break
            frames.insert(0, np.frombuffer(frame, dtype))
    bars = np.concatenate(frames)
    bars['index'] = np.arange(bars.size)
    return bars
