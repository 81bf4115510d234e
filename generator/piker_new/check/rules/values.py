"""Values that go to piker: quotes, prices, costs, times."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from ..finding import Finding
from ..model import Backend, Function
from ..model.scope import dotted, last
from .base import PIKER, Rule
from .signatures import history_functions

TICK_TYPES = {
    'trade', 'utrade', 'dark_trade', 'last', 'bid', 'bsize', 'ask', 'asize'
}  # fmt: skip
_NUMBERS = ('price', 'size', 'last', 'volume')


def items(node: ast.Dict) -> dict[str, ast.expr]:
    """The items of a dict that have plain string keys."""
    return {
        key.value: value
        for key, value in zip(node.keys, node.values, strict=True)
        if isinstance(key, ast.Constant) and isinstance(key.value, str)
    }


def only_value(function: Function, value: ast.expr) -> ast.expr:
    """What a local name stands for, where it is assigned once."""
    for _ in range(4):
        if not isinstance(value, ast.Name):
            break
        values = function.locals.get(value.id, [])
        if len(values) != 1 or function.bindings[value.id] != 1:
            break
        value = values[0]
    return value


def is_tick(node: ast.Dict) -> bool:
    """A tick, and not an order, which has a type and a price as well."""
    known = items(node)
    match known.get('type'):
        case ast.Constant(value=kind):
            return 'price' in known and kind in TICK_TYPES
    return known.keys() == {'type', 'price', 'size'}


def is_quote(node: ast.Dict) -> bool:
    known = items(node).keys()
    return 'ticks' in known and bool({'symbol', 'last', 'broker_ts'} & known)


class NotAFloat(Rule):
    """A price or a size in a quote is no plain float.

    A Decimal arrives as a string on the other side; a string, or a number of numpy's,
    ends the daemon.
    """

    id = 'PK701'
    help = 'make it a float'
    source = f'{PIKER}: live quotes'

    def check(self, backend: Backend) -> Iterator[Finding]:
        for scope in backend.scopes:
            for node in scope.of(ast.Dict):
                if not (is_tick(node) or is_quote(node)):
                    continue
                for key, value in items(node).items():
                    if key in _NUMBERS and (kind := self._kind(scope, value)):
                        yield self.at(scope.module, value, f'{key} is {kind}')
            for _, target, assigned in scope.assignments:
                match target:
                    case ast.Subscript(
                        value=ast.Name(id=name), slice=ast.Constant(value=str() as key)
                    ) if key in _NUMBERS and ('quote' in name or 'tick' in name):
                        if assigned and (kind := self._kind(scope, assigned)):
                            yield self.at(scope.module, assigned, f'{key} is {kind}')

    @staticmethod
    def _kind(scope: Function, value: ast.expr) -> str | None:
        if isinstance(value, ast.Name):
            for arg in scope.arguments:
                if arg.arg == value.id and last(dotted(arg.annotation)) == 'Decimal':
                    return 'a Decimal'
        match only_value(scope, value):
            case ast.Call(func=func):
                name = scope.origin(dotted(func)) if dotted(func) else ''
                if last(name) == 'Decimal':
                    return 'a Decimal'
                if name == 'str':
                    return 'a string'
                if name.startswith('numpy.') and last(name).startswith(
                    ('float', 'int', 'double')
                ):
                    return "a number of numpy's"
                if getattr(func, 'attr', '') == 'quantize':
                    return 'a Decimal'
            case ast.Constant(value=str()) | ast.JoinedStr():
                return 'a string'
        return None


class WrongTickType(Rule):
    """A tick is of a type that piker does not know.

    It is not drawn, not summed, and nothing says so.
    """

    id = 'PK702'
    help = f'use one of {", ".join(sorted(TICK_TYPES))}'
    source = f'{PIKER}: live quotes'

    def check(self, backend: Backend) -> Iterator[Finding]:
        for scope in backend.scopes:
            for node in scope.of(ast.Dict):
                known = items(node)
                kind = known.get('type')
                if not {'type', 'price'} <= known.keys():
                    continue
                if (
                    isinstance(kind, ast.Constant)
                    and isinstance(kind.value, str)
                    and kind.value not in TICK_TYPES
                    and self._in_ticks(scope, node)
                ):
                    yield self.at(scope.module, kind, f'no tick type {kind.value!r}')

    @staticmethod
    def _in_ticks(scope: Function, node: ast.Dict) -> bool:
        """Whether it is one of the ticks of a quote, and not an order."""
        for above in scope.module.above(node):
            match above:
                case ast.Dict() if is_quote(above):
                    return True
                case ast.Call(func=func) if 'tick' in ast.unparse(func):
                    return True
                case ast.Assign(targets=[target]) if 'tick' in ast.unparse(target):
                    return True
                case ast.Return() | ast.Yield() if 'tick' in scope.name:
                    return True
        return False


class WrongTopic(Rule):
    """Quotes are sent under a name that piker does not listen to.

    The key is `bs_fqme`: lowercase, with the venue, without the broker. Under any other
    there are no quotes, and no error.
    """

    id = 'PK703'
    help = 'send {mkt.bs_fqme: quote}'
    source = f'{PIKER}: live quotes'

    def check(self, backend: Backend) -> Iterator[Finding]:
        entry = backend.endpoint('stream_quotes')
        if entry is None:
            return
        reached = backend.graph.closure([entry])
        for function in (it for it in backend.functions if it in reached):
            for call in function.of(ast.Call):
                match call:
                    case ast.Call(
                        func=ast.Attribute(value=channel, attr='send' | 'send_nowait'),
                        args=[ast.Dict(keys=[ast.expr() as key])],
                    ) if dotted(channel) == 'send_chan':
                        if what := self._wrong(backend, function, key):
                            yield self.at(function.module, key, what)

    @staticmethod
    def _wrong(backend: Backend, function: Function, key: ast.expr) -> str | None:
        at: Function | None = function
        while isinstance(key, ast.Name) and at is not None:
            before = key
            key = only_value(at, key)
            if key is before:
                at = at.outer
        match key:
            case ast.Attribute(attr='fqme'):
                return f'{ast.unparse(key)} ends with the broker'
            case ast.Attribute(attr='bs_mktid'):
                return f"{ast.unparse(key)} is the venue's own name"
            case ast.Call(func=ast.Attribute(attr='upper')):
                return f'{ast.unparse(key)} has capitals'
            case ast.BinOp(right=ast.Constant(value=str() as text)) if (
                text == f'.{backend.name.removeprefix("piker_")}'
            ):
                return f'{ast.unparse(key)} ends with the broker'
            case ast.Constant(value=str() as text) if text != text.lower():
                return f'{text!r} has capitals'
            case ast.Constant(value=str() as text) if text.endswith(f'.{backend.name}'):
                return f'{text!r} ends with the broker'
            case ast.JoinedStr(values=[*_, ast.Constant(value=str() as text)]) if (
                text == f'.{backend.name.removeprefix("piker_")}'
            ):
                return f'{ast.unparse(key)} ends with the broker'
        return None


class OldInit(Rule):
    """A feed starts with something else than a list of FeedInit.

    piker takes dicts of an older style with a warning, and falls on what they lack.
    """

    id = 'PK704'
    help = 'call task_status.started(([FeedInit(mkt_info=mkt)], first_quote))'
    source = f'{PIKER}: live quotes'

    def check(self, backend: Backend) -> Iterator[Finding]:
        function = backend.endpoint('stream_quotes')
        if function is None:
            return
        for call in function.all_of(ast.Call):
            match call:
                case ast.Call(
                    func=func, args=[ast.Tuple(elts=[ast.expr() as inits, *_])]
                ) if dotted(func) == 'task_status.started':
                    given = only_value(function, inits)
                    if isinstance(given, ast.Dict):
                        what = 'a dict of inits'
                    elif backend.is_call_of(function, given, 'FeedInit'):
                        what = 'a single FeedInit'
                    else:
                        continue
                    yield self.at(function.module, call, f'starts with {what}')


class SignedFee(Rule):
    """A fee follows the sign of the size.

    piker's paper engine passes a negative size for a sale: the seller is paid for his
    trade, and his break-even is wrong.
    """

    id = 'PK711'
    help = 'take abs(size)'
    source = f'{PIKER}: order dialog'

    def check(self, backend: Backend) -> Iterator[Finding]:
        function = backend.endpoint('get_cost')
        if (
            function is None
            or function.node is None
            or 'size' not in (function.parameters)
        ):
            return
        if any(
            last(dotted(it.func)) in ('abs', 'fabs', 'copysign')
            for it in function.all_of(ast.Call)
        ) or any(
            'size' in ast.unparse(it) or '0' in ast.unparse(it)
            for it in function.all_of(ast.Compare)
            if isinstance(it.comparators[0], ast.Constant)
            and it.comparators[0].value == 0
        ):
            return
        for node in function.of(ast.BinOp):
            if isinstance(node.op, ast.Mult) and any(
                isinstance(it, ast.Name) and it.id == 'size' for it in ast.walk(node)
            ):
                yield self.at(function.module, node, 'the fee of a sale is negative')
                return


class TwoFees(Rule):
    """A fee differs for makers and takers.

    The host does not keep which one a trade of a paper account was: on reload its
    average price is another.
    """

    id = 'PK712'
    help = 'charge the same for both'
    source = f'{PIKER}: order dialog'

    def check(self, backend: Backend) -> Iterator[Finding]:
        function = backend.endpoint('get_cost')
        if function is None or function.node is None:
            return
        for node in (
            *function.of(ast.If),
            *function.of(ast.IfExp),
            *function.of(ast.Match),
            *function.of(ast.Subscript),
        ):
            tested: ast.expr
            match node:
                case ast.Match(subject=tested):
                    pass
                case ast.If(test=tested) | ast.IfExp(test=tested):
                    pass
                case ast.Subscript(slice=tested):
                    pass
                case _:
                    continue
            if any(
                isinstance(it, ast.Name) and it.id == 'is_taker'
                for it in ast.walk(tested)
            ):
                yield self.at(function.module, node, 'the fee depends on is_taker')
                return


class StdlibDatetime(Rule):
    """History comes with datetimes of the standard library.

    piker asks them for what only pendulum's have, and the feed dies.
    """

    id = 'PK721'
    help = 'use pendulum.from_timestamp()'
    source = f'{PIKER}: history'

    def check(self, backend: Backend) -> Iterator[Finding]:
        for function, _ in history_functions(backend):
            yield from self._returned(backend, function)

    def _returned(self, backend: Backend, function: Function) -> Iterator[Finding]:
        for node in function.of(ast.Return):
            match node.value:
                case ast.Tuple(elts=[_, start, end]):
                    for value in (start, end):
                        if self._is_stdlib(function, value):
                            yield self.at(
                                function.module,
                                value,
                                f'{ast.unparse(value)} is a stdlib datetime',
                            )
                            break
                case ast.Call() as call:
                    made = backend.types.called(function, call)
                    if isinstance(made, Function) and made is not function:
                        yield from self._returned(backend, made)

    @staticmethod
    def _is_stdlib(function: Function, value: ast.expr) -> bool:
        values = [value]
        if isinstance(value, ast.Name):
            values = function.locals.get(value.id, [])
        return bool(values) and any(
            isinstance(it, ast.Call)
            and dotted(it.func)
            and function.origin(dotted(it.func)).startswith('datetime.')
            for it in values
        )


class NoReason(Rule):
    """History is unavailable for no reason.

    piker logs the first argument of DataUnavailable; where there is none, that is an
    IndexError in the daemon.
    """

    id = 'PK722'
    help = "say why: raise DataUnavailable('no bars of 5 s')"
    source = f'{PIKER}: history'

    def check(self, backend: Backend) -> Iterator[Finding]:
        for scope in backend.scopes:
            for node in scope.of(ast.Raise):
                match node.exc:
                    case ast.Call(func=func, args=[], keywords=[]):
                        name = dotted(func)
                    case ast.Name(id=name):
                        pass
                    case _:
                        continue
                if name == 'DataUnavailable':
                    yield self.at(
                        scope.module, node, 'DataUnavailable without a reason'
                    )


RULES: list[Rule] = [
    NotAFloat(),
    WrongTickType(),
    WrongTopic(),
    OldInit(),
    SignedFee(),
    TwoFees(),
    StdlibDatetime(),
    NoReason(),
]
