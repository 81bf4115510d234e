"""
Caching of async lookups.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Awaitable, Callable
from functools import wraps
from typing import TypeVar, TypeVarTuple

T = TypeVar('T')
Args = TypeVarTuple('Args')

AsyncLookup = Callable[[*Args], Awaitable[T]]


def async_lifo_cache(
    maxsize: int = 128,
) -> Callable[[AsyncLookup[*Args, T]], AsyncLookup[*Args, T]]:
    """
    Cache the results of an async function, keyed by its POSITIONAL arguments.

    A hit skips the function's body, so the body must have no side effects. piker's
    cache ignores keyword arguments (two calls that differ in them alone share an
    entry); here they are a `TypeError`, so that the slip is seen.

    The newest `maxsize` results are kept.
    """

    def decorator(fn: AsyncLookup[*Args, T]) -> AsyncLookup[*Args, T]:
        cache: OrderedDict[tuple[*Args], T] = OrderedDict()

        @wraps(fn)
        async def cached(*args: *Args) -> T:
            if args in cache:
                return cache[args]

            result = await fn(*args)
            if len(cache) >= maxsize:
                cache.popitem(last=False)
            cache[args] = result
            return result

        return cached

    return decorator
