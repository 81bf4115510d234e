"""
A venue that says what another one said: a recording, replayed.

A request is answered as one of the same meaning was; which parts of it have none is the
dialect's to say (`dialect.replay`). A subscription brings what came on its channels
then, in order. What only says that the venue is there, and what time it is, it says by
itself, and its clock shows the time of the recording.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from decimal import Decimal
from difflib import SequenceMatcher, ndiff
from functools import partial
from typing import Any
from urllib.parse import parse_qsl

import msgspec
import trio
from msgspec import Struct

from .dialect import replay as words
from .hub import Dialect, Fields
from .recording import Event, Recording
from .refusals import Refusal
from .session import Call, Session, Subscription
from .transport import HttpRequest

_ITSELF = ('test', 'time')
"""Operations that need no recording."""
_PATIENCE = 1.0
"""Seconds for which a stream waits for a subscription that was made at that point."""


class Exchange(Struct, eq=False):
    """
    A recorded request, and its replies.
    """

    line: Line
    at: int
    """Of its events."""
    event: Event
    meaning: bytes
    times: dict[str, float]
    replies: list[Event] = []

    @property
    def time(self) -> float:
        return self.event.time


class Line(Struct, eq=False):
    """
    What went over one connection.
    """

    over: str
    path: str = ''
    events: list[Event] = []
    exchanges: dict[int, Exchange] = {}

    def made_at_once(self, at: int) -> int:
        """
        Where those subscriptions begin that were made together with one. When they are
        made again, they may come in another order.
        """
        while (last := self.exchanges.get(at - 1)) and words.subscribes(
            last.event.message
        ):
            at -= 1
        return at


class Player:
    """
    Tells one session what came unasked on a line.
    """

    def __init__(
        self, session: Session, line: Line, at: int, said: Callable[[Any], Any]
    ) -> None:
        self._session = session
        self._said = said
        self.line = line
        self.at = at
        """Where it is among the line's events."""
        self.channels: set[str] = set()
        self._made: set[int] = set()
        self._news = trio.Event()

    def add(self, exchange: Exchange, channels: Iterable[str]) -> None:
        """
        A subscription was made.
        """
        self.channels |= {*channels}
        self._made.add(exchange.at)
        self._news.set()
        self._news = trio.Event()

    async def play(self, subscribes: set[int], pace: float) -> None:
        """
        `pace` is how many seconds of the recording pass in one, or 0 for all at once.
        """
        events = self.line.events
        start, begin = events[self.at].time, trio.current_time()
        for at in range(self.at, len(events)):
            self.at, event = at, events[at]
            if pace:
                await trio.sleep_until(begin + (event.time - start) / pace)
            if at in subscribes:
                with trio.move_on_after(_PATIENCE):
                    while at not in self._made:
                        await self._news.wait()
            if event.is_unasked and not self.channels.isdisjoint(
                words.channels(event.message)
            ):
                await self._session.send_in_turn(self._said(event.message))


class Replay:
    """
    A dialect whose words are those of a recording.
    """

    def __init__(self, dialect: Dialect, recording: Recording, pace: float) -> None:
        self._dialect = dialect
        self._pace = pace
        self._exchanges: defaultdict[tuple[str, bytes], list[Exchange]]
        self._exchanges = defaultdict(list)
        self._names: dict[str, str] = {}
        """What clients call what had another name then."""
        self._used: set[Exchange] = set()
        self._since = 0.0
        """From where on answers are looked for."""
        self._players: dict[tuple[Session, int], Player] = {}
        self.missed = 0
        """Requests that were not recorded."""
        for line in _lines(recording):
            for exchange in line.exchanges.values():
                self._exchanges[_over(line), exchange.meaning].append(exchange)

    def seek(self, time: float) -> None:
        """
        Answer as at that time of the recording, from there on.
        """
        self._since = time
        self._used.clear()

    # what a dialect does

    def is_socket(self, path: str) -> bool:
        return self._dialect.is_socket(path)

    def opened(self, session: Session) -> None:
        self._dialect.opened(session)

    def logged_out(self, session: Session) -> None:
        self._dialect.logged_out(session)

    def closed(self, session: Session) -> None:
        self._dialect.closed(session)
        for key in [key for key in self._players if key[0] is session]:
            del self._players[key]

    def tell(self, subscription: Subscription, events: Sequence[Any]) -> list[Fields]:
        return self._dialect.tell(subscription, events)

    def operation_names(self) -> set[str]:
        return self._dialect.operation_names()

    def read(self, session: Session, message: bytes) -> Call:
        call = self._dialect.read(session, message)
        try:
            request = msgspec.json.decode(message)
        except (msgspec.DecodeError, RecursionError):
            return call
        return self._replayed(session, f'ws {session.path}', call, request)

    def read_http(self, session: Session, request: HttpRequest) -> Call:
        call = self._dialect.read_http(session, request)
        asked: dict[str, Any] = {'verb': request.method, 'path': request.path}
        if request.query:
            asked['query'] = _params(request.query)
        if request.body:
            text = request.body.decode(errors='replace')
            try:
                asked['body'] = msgspec.json.decode(text)
            except (msgspec.DecodeError, RecursionError):
                asked['body'] = _params(text)
        return self._replayed(session, 'http', call, asked)

    # answers

    def _replayed(self, session: Session, over: str, call: Call, request: Any) -> Call:
        if call.operation in _ITSELF:
            return call
        found = self._find(over, request)
        if found is None and call.operation == 'unsubscribe':
            found = self._find_alike(over, request)
        if found is None:
            return msgspec.structs.replace(call, act=_refuse(self._miss(over, request)))
        if call.operation == 'heartbeat':
            return call
        self._take_names(found.event.message, request)
        if words.subscribes(request):
            if found in self._used:  # it begins again
                self._used.clear()
            at = found.line.made_at_once(found.at)
            self._since = found.line.events[at].time
            session.after_reply.append(partial(self._play, session, found, request))
        elif call.operation == 'unsubscribe':
            for key, player in self._players.items():
                if key[0] is session:
                    player.channels -= {*words.channels(request)}
        self._used.add(found)
        if not found.replies:  # the connection was lost before there was any

            def lose() -> Any:
                session.abort()
                raise Refusal('internal')

            return msgspec.structs.replace(call, act=lose)
        first, *more = (self._said(it.message, request) for it in found.replies)
        session.after_reply[:0] = [partial(session.send, it) for it in more]
        status = found.replies[0].status or 200
        if status == 200:
            return msgspec.structs.replace(call, act=lambda: first, reply=lambda it: it)
        return msgspec.structs.replace(
            call, act=_refuse('as recorded'), refuse=lambda _: (status, first)
        )

    def _find(self, over: str, request: Any) -> Exchange | None:
        """
        The exchange in which that was asked for: the next one or, where requests say
        about when, the nearest.
        """
        alike = self._exchanges.get((over, meaning(request)), [])
        if not alike:
            return None
        if asked := times(request):
            return min(alike, key=lambda it: _distance(it.times, asked))
        later = [it for it in alike if it.time >= self._since]
        unused = [it for it in later if it not in self._used]
        return (unused or later[-1:] or alike[-1:])[0]

    def _find_alike(self, over: str, request: Any) -> Exchange | None:
        """
        One that differs in its channels: which are left together is a matter of chance.
        """

        def without(request: Any) -> Any:
            return msgspec.json.encode(
                {key: it for key, it in request.items() if key in words.METHOD}
            )

        for (recorded_over, _), alike in self._exchanges.items():
            for it in alike if recorded_over == over else ():
                if without(it.event.message) == without(request):
                    return it
        return None

    def _miss(self, over: str, request: Any) -> str:
        """
        Complain of what was not recorded, and of what was most like it.
        """
        self.missed += 1
        asked = _pretty(request)
        recorded = {
            _pretty(alike[0].event.message)
            for (it, _), alike in self._exchanges.items()
            if it == over
        }
        said = f'was not recorded: {meaning(request).decode()}'
        print(f'simvenue: {said}', file=sys.stderr)
        if recorded:
            nearest = max(
                recorded, key=lambda it: SequenceMatcher(None, it, asked).ratio()
            )
            print('the nearest that was, and what was asked for:', file=sys.stderr)
            lines = ndiff(nearest.splitlines(), asked.splitlines())
            print('\n'.join(it for it in lines if it[0] != '?'), file=sys.stderr)
        sys.stderr.flush()
        return said

    def _take_names(self, recorded: Any, request: Any) -> None:
        """
        A client calls things as it likes; from here on we do as well.
        """
        then = dict(_walk(recorded))
        for path, value in _walk(request):
            if path.rpartition('.')[2] in words.NAMES and path in then:
                self._names[str(then[path])] = value

    def _said(self, message: Any, request: Any = None) -> Any:
        said = self._renamed(message)
        match said, request:
            case {words.ID: _}, {words.ID: number}:
                said[words.ID] = number
        return said

    def _renamed(self, message: Any) -> Any:
        match message:
            case dict():
                return {key: self._renamed(it) for key, it in message.items()}
            case list():
                return [self._renamed(it) for it in message]
            case str():
                return self._names.get(message, message)
        return message

    # streams

    def _play(self, session: Session, exchange: Exchange, request: Any) -> None:
        line, channels = exchange.line, words.channels(request)
        player = self._players.get((session, id(line)))
        if player is None or player.at > exchange.at:
            if player:
                player.channels -= {*channels}
            subscribes = {
                it.at
                for it in line.exchanges.values()
                if words.subscribes(it.event.message)
            }
            at = line.made_at_once(exchange.at)
            player = Player(session, line, at, self._renamed)
            self._players[session, id(line)] = player
            session.spawn(player.play, subscribes, self._pace)
        player.add(exchange, channels)


def _lines(recording: Recording) -> Iterator[Line]:
    lines: dict[str, Line] = {}
    for event in recording.events:
        if event.over not in ('ws', 'http'):
            continue
        line = lines.setdefault(event.conn, Line(event.over, events=[], exchanges={}))
        if event.way == 'opened':
            line.path = event.path
        line.events.append(event)
    for line in lines.values():
        asked: dict[object, Exchange] = {}
        for at, event in enumerate(line.events):
            number: object = event.request
            if not number and isinstance(event.message, dict):
                number = event.message.get(words.ID)
            if event.is_asked:
                exchange = Exchange(
                    line, at, event, meaning(event.message), times(event.message), []
                )
                line.exchanges[at] = exchange
                if number is not None:
                    asked[number] = exchange
            elif event.way == 'received' and number in asked:
                asked[number].replies.append(event)
        yield line


def _over(line: Line) -> str:
    return 'http' if line.over == 'http' else f'ws {line.path}'


def _refuse(text: str) -> Any:
    def act() -> Any:
        raise Refusal('unknown_operation', text)

    return act


def meaning(request: Any) -> bytes:
    """
    What counts of a request, in one way of writing.
    """
    return msgspec.json.encode(_meant(request), order='sorted')


def _meant(request: Any) -> Any:
    match request:
        case dict():
            return {
                key: _meant(it)
                for key, it in request.items()
                if key not in words.IGNORED
                and key not in words.TIMES
                and key not in words.NAMES
                and key != 'headers'
            }
        case list():
            return [_meant(it) for it in request]
        case Decimal():
            return float(request)
    return request


def times(request: Any) -> dict[str, float]:
    """
    The times in a request, in whatever unit.
    """
    found: dict[str, float] = {}
    for path, value in _walk(request):
        if path.rpartition('.')[2] in words.TIMES:
            try:
                found[path] = float(value)
            except (TypeError, ValueError):
                try:
                    found[path] = datetime.fromisoformat(str(value)).timestamp()
                except ValueError:
                    continue
    return found


def _distance(some: dict[str, float], others: dict[str, float]) -> float:
    if some.keys() != others.keys():
        return float('inf')
    return sum(abs(it - others[path]) for path, it in some.items())


def _walk(value: Any, path: str = '') -> Iterator[tuple[str, Any]]:
    match value:
        case dict():
            for key, it in value.items():
                yield from _walk(it, f'{path}.{key}')
        case list():
            for at, it in enumerate(value):
                yield from _walk(it, f'{path}.{at}')
        case _:
            yield path, value


def _params(text: str) -> Any:
    return dict(parse_qsl(text, keep_blank_values=True)) or text


def _pretty(request: Any) -> str:
    return msgspec.json.format(meaning(request)).decode()
