"""
The venue as a dialect and the controls see it: neutral, without a word of the wire.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import count
from typing import Any, NoReturn, Protocol

import trio
from msgspec.structs import replace

from .accounts import Account, Credentials
from .clock import Clock
from .events import BookChange, Event, Listed, NewQuote, Trades, changes
from .exchange import Exchange
from .instruments import (
    Instrument,
    Known,
    Product,
    expiries,
    list_instruments,
    make_instrument,
    more_alike,
)
from .journal import Journal
from .market import Market, Trade
from .matching import Levels
from .refusals import Refusal
from .source import Source, Synthetic
from .tradefile import TradeFile, TradeFileError


class Naming(Protocol):
    """
    What a dialect calls things.
    """

    def instrument_name(self, instrument: Instrument) -> str: ...

    def order_id(self, instrument: Instrument, number: int) -> str: ...


_STRIKES = 4
"""For each expiry, unless more markets are wanted."""
_STEP = 0.02
"""Seconds between two looks at what was due: that happens together, as far as those who
listen can tell, and they are told of it together."""


class Engine:
    """
    The clock, the markets, the accounts.
    """

    DEPTH = 1000
    """How many prices of a side of a book are told of."""
    _KEPT_EXPIRED = 7 * 86_400_000

    def __init__(
        self,
        clock: Clock,
        journal: Journal,
        products: Sequence[Product],
        naming: Naming,
        *,
        traits: dict[str, Any],
        seed: int = 0,
        rate: float = 8,
        markets: int = 0,
        trades: TradeFile | None = None,
        credentials: dict[str, Credentials] | None = None,
    ) -> None:
        self.clock = clock
        self.journal = journal
        self.products = list(products)
        self.naming = naming
        self.traits = traits
        self.seed = seed
        self.listeners: list[Callable[[Event], None]] = []
        """Told of all events: those above, and the exchange's."""
        self.woken = trio.Event()
        """Set when something may be due earlier than it was."""
        self._rate = rate
        self._trades = trades
        self._indexes: dict[str, Synthetic] = {}
        self._strikes = _STRIKES
        if markets:
            listed = [it.kind for it in self._list(clock.now())]
            missing, options = markets - len(listed), listed.count('option')
            if missing > 0 and options:
                self._strikes += -(-_STRIKES * missing // options)
            elif missing > 0:
                self.products += more_alike(self.products, missing)
        self._own: dict[str, Instrument] = {}
        """Listed by the controls."""
        self._delisted: dict[str, int] = {}
        """When, by their names, in ms."""
        self._markets: dict[str, Market] = {}
        self._watched: dict[str, Market] = {}
        self._books: dict[str, tuple[int, Levels, Levels]] = {}
        self._changes = count(clock.now() * 1000)
        self.instruments: dict[str, Instrument] = {}
        self.known = Known(self.instrument)
        self.expired: dict[str, Instrument] = {}
        """Those of the last week."""
        self._listed_at = self._next_listing = 0
        for name, when in journal.take('delisted', tuple[str, int | None]):
            self._note_delisted(name, when)
        for instrument in journal.take('listed', Instrument):
            self._own[instrument.name] = instrument
        self.relist()
        if trades and (unknown := trades.names - self.instruments.keys()):
            names = ', '.join(sorted(unknown))
            raise TradeFileError(f'{trades.path}: {names} is not listed')
        self.credentials = credentials or {}
        self.exchange = Exchange(
            self,
            {
                key: Account(key, number, self._balances(it))
                for number, (key, it) in enumerate(self.credentials.items(), 1000)
            },
        )
        for instrument in self.expired.values():
            self.exchange.settle(instrument)

    def _balances(self, credentials: Credentials) -> dict[str, Any]:
        return credentials.owns(self.currencies())

    # what is listed

    def currencies(self) -> list[str]:
        """
        Those that something is traded in, or settled.
        """
        names = [name for it in self.products for name in (it.base, it.settlement)]
        return list(dict.fromkeys(names))

    def _list(self, now: int) -> Iterator[Instrument]:
        for instrument in list_instruments(
            self.products,
            self.naming.instrument_name,
            now,
            self._strikes,
            lambda product, second: self._index(product).index(second),
        ):
            trades = self._trades
            yield trades.adapt(instrument) if trades else instrument

    def _index(self, product: Product) -> Synthetic:
        if product.index not in self._indexes:
            named = make_instrument(product, lambda it: it.index)
            self._indexes[product.index] = Synthetic(named, self.seed)
        return self._indexes[product.index]

    def relist(self) -> None:
        """
        List what is to be listed by now, and settle what has expired.
        """
        now = self.clock.now()
        self._listed_at, self._next_listing = now, min(expiries(now))
        known = self.instruments
        listed = {it.name: it for it in [*self._list(now), *self._own.values()]}
        current = {
            name: it
            for name, it in listed.items()
            if name not in self._delisted and (it.expiry is None or it.expiry > now)
        }
        # what was known stays the very same object
        self.instruments = {name: known.get(name, it) for name, it in current.items()}
        if not known:
            before = self._list(now - self._KEPT_EXPIRED)
            gone = [it for it in before if it.expiry and it.expiry <= now]
        else:
            gone = [it for name, it in known.items() if name not in current]
            for instrument in gone:
                self.tell(Listed(instrument, False))
        self.expired |= {it.name: it for it in gone}
        for name in current.keys() - known.keys() if known else ():
            self.tell(Listed(self.instruments[name], True))
        if known:
            for instrument in gone:
                self.exchange.settle(instrument)

    def add(self, name: str, like: str | None) -> None:
        """
        List another instrument, like one that there is; or again one that was
        delisted. Raises `Refusal`.
        """
        if name in self._delisted:
            self._close(name, None)
        elif name not in self.instruments:
            if like is None:
                raise Refusal('unknown_market', f'{name}: say which one it is like')
            self._own[name] = replace(self.instrument(like), name=name)
            self.journal.append('listed', self._own[name])
        self.relist()

    def delist(self, name: str) -> None:
        """
        Raises `Refusal`.
        """
        self.instrument(name)
        if name not in self._delisted:
            market = self.seen(name)
            # behind what it has told of
            self._close(name, (market.now if market else self.clock.now()) + 1)
            self.relist()

    def _close(self, name: str, when: int | None) -> None:
        if market := self._markets.get(name):
            market.closed = when
        self._note_delisted(name, when)
        self.journal.append('delisted', (name, when))

    def _note_delisted(self, name: str, when: int | None) -> None:
        if when is None:
            self._delisted.pop(name, None)
        else:
            self._delisted[name] = when

    def instrument(self, name: str) -> Instrument:
        """
        One that is listed, or was lately. Raises `Refusal`.
        """
        found = self.instruments.get(name) or self.expired.get(name)
        if found is None:
            raise Refusal('unknown_market', name)
        return found

    def recall(self, name: str, time: int) -> Instrument:
        """
        One that was listed at that time. Raises `Refusal`.
        """
        if name not in self.instruments and name not in self.expired:
            self.expired |= {it.name: it for it in self._list(time) if it.name == name}
        return self.instrument(name)

    def is_active(self, instrument: Instrument) -> bool:
        return instrument.name in self.instruments

    def _source(self, instrument: Instrument) -> Source:
        recorded = self._trades and self._trades.source(instrument)
        return recorded or Synthetic(instrument, self.seed, self._rate)

    def seen(self, name: str) -> Market | None:
        """
        The market, if somebody has looked at it.
        """
        return self.market(name) if name in self._markets else None

    def market(self, name: str) -> Market:
        """
        The market of an instrument, up to date. Raises `Refusal`.
        """
        if (market := self._markets.get(name)) is None:
            instrument = self.instrument(name)
            market = Market(
                instrument,
                self._source(instrument),
                self.clock,
                seed=self.seed,
                journal=self.journal,
                closed=self._delisted.get(name),
            )
            market.on_trades.append(self._on_trades)
            market.on_quote.append(self._on_quote)
            self._markets[name] = market
        else:
            market.advance()
        return market

    # what happens

    def watch(self, name: str) -> None:
        """
        Keep a market up to date from now on, as its trades and quotes are listened to.
        """
        market = self.market(name)
        market.watched += 1
        self._watched[name] = market
        self.wake()

    def unwatch(self, name: str) -> None:
        market = self._markets[name]
        market.watched -= 1
        if not market.watched:
            del self._watched[name]
            self._books.pop(name, None)

    def book(self, market: Market) -> tuple[int, Levels, Levels]:
        """
        The book as it was told last: the id of the last change, bids, and asks.
        """
        if market.name not in self._books:
            told = (next(self._changes), *market.depth(self.DEPTH))
            if not market.watched:
                return told
            self._books[market.name] = told
        return self._books[market.name]

    def _on_trades(self, market: Market, trades: list[Trade]) -> None:
        self.tell(Trades(market, trades))

    def _on_quote(self, market: Market) -> None:
        if not market.watched:
            return
        self.tell(NewQuote(market))
        if market.name in self._books:
            before, *old = self._books[market.name]
            bids, asks = market.depth(self.DEPTH)
            changed = changes(old[0], bids), changes(old[1], asks)
            if any(changed):
                change = BookChange(market, before, next(self._changes), *changed)
                self._books[market.name] = change.id, bids, asks
                self.tell(change)

    def tell(self, event: Event) -> None:
        for listener in self.listeners:
            listener(event)

    def wake(self) -> None:
        self.woken.set()

    def set_clock(self, now: int | None, speed: float | None) -> None:
        """
        Make it another time, or another pace.
        """
        old = self.clock
        self.clock.set(
            old.now() if now is None else now, old.speed if speed is None else speed
        )
        self.journal.append('clock', (old.epoch, old.since, old.speed))
        self.advance()
        self.wake()

    async def sleep(self, seconds: float) -> None:
        """
        Until so many seconds have passed by the clock, also where it is set meanwhile.
        """
        ms = int(1000 * seconds)
        end = self.clock.now() + ms
        # or longer, if it is set back
        while 0 < end - self.clock.now() <= ms:
            with trio.move_on_after(self.clock.seconds_until(end)):
                await self.woken.wait()

    def advance(self) -> None:
        """
        Let happen what was due by now in the markets that somebody watches.
        """
        now = self.clock.now()
        if not self._listed_at <= now < self._next_listing:
            self.relist()
        for market in list(self._watched.values()):
            market.advance()
        self.exchange.advance()

    async def run(self, after: Callable[[], None]) -> NoReturn:
        """
        Let time pass; `after` is called whenever something may have happened.
        """
        while True:
            self.advance()
            after()
            dues = [it.next_due() for it in self._watched.values()]
            dues.append(self.exchange.next_due())
            due = min([self._next_listing, *dues])
            self.woken = trio.Event()
            with trio.move_on_after(max(_STEP, self.clock.seconds_until(due))):
                await self.woken.wait()
