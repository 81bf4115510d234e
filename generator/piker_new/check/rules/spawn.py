"""How daemons are started."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from ..finding import Finding
from ..model import Backend, Function
from ..model.scope import last
from .base import CONC, PIKER, Rule

_INITS = {'datad_init', 'brokerd_init', 'broker_init'}
_BOOTS = {'maybe_spawn_brokerd', 'spawn_brokerd'}
_LOOKS = {'find_actor', 'query_actor', 'find_service', 'check_for_service'}
_SPAWNS = {'start_actor', 'run_in_actor'}


class NotInfected(Rule):
    """asyncio is used in actors that do not run it.

    `to_asyncio` works only in an actor that was started with `infect_asyncio=True`,
    which a backend asks for in `_spawn_kwargs`.
    """

    id = 'PK301'
    help = "set `_spawn_kwargs = {'infect_asyncio': True}` in the package"
    source = f'{CONC}: daemon lifecycle'

    def check(self, backend: Backend) -> Iterator[Finding]:
        package = backend.package
        if '_spawn_kwargs' in package.names:
            value = package.values.get('_spawn_kwargs')
            if value is None or not isinstance(value, ast.Dict):
                return
            for key, asked in zip(value.keys, value.values, strict=True):
                if key is None or (
                    isinstance(key, ast.Constant)
                    and key.value == 'infect_asyncio'
                    and not (isinstance(asked, ast.Constant) and not asked.value)
                ):
                    return
        for scope in backend.scopes:
            for call in scope.of(ast.Call):
                origin = backend.callee(scope, call)
                if origin.startswith('tractor.to_asyncio.') and last(origin) in (
                    'open_channel_from',
                    'run_task',
                ):
                    yield self.at(
                        scope.module,
                        call,
                        f'{last(origin)}() without infect_asyncio in _spawn_kwargs',
                    )
                    return


class NotInEveryKind(Rule):
    """A kind of daemon is started without the backend's `_spawn_kwargs`.

    ib needs asyncio in every daemon, and dies in the one that was forgotten.
    """

    id = 'PK302'
    help = "update the arguments with getattr(mod, '_spawn_kwargs', {})"
    source = f'{CONC}: daemon lifecycle'

    def check(self, backend: Backend) -> Iterator[Finding]:
        for function in backend.functions:
            if function.name not in _INITS or function.node is None:
                continue
            text = ast.unparse(function.node)
            if '_spawn_kwargs' not in text and 'enable_modules' in text:
                yield self.at(
                    function.module,
                    function.node,
                    f'{function.name}() does not copy _spawn_kwargs',
                )


class BootedElsewhere(Rule):
    """A brokerd is booted elsewhere than in `open_brokerd_dialog()`.

    Charts and paper sessions are to run without any: it has credentials.
    """

    id = 'PK303'
    help = 'leave it to the host, or use a datad'
    source = f'{CONC}: actor tree'

    def check(self, backend: Backend) -> Iterator[Finding]:
        for scope in backend.scopes:
            if _is_within(scope, {*_BOOTS, 'open_brokerd_dialog'}):
                continue
            for call in scope.of(ast.Call):
                name = last(backend.callee(scope, call))
                target = call.args[0] if call.args else None
                named = next(
                    (it.value for it in call.keywords if it.arg == 'name'), target
                )
                if name in _BOOTS or (
                    name in ('maybe_spawn_daemon', *_SPAWNS)
                    and named is not None
                    and re.match(r"f?'brokerd\b", ast.unparse(named))
                ):
                    yield self.at(scope.module, call, f'{name}() boots a brokerd')


def _is_within(scope: Function, names: set[str]) -> bool:
    at: Function | None = scope
    while at is not None:
        if at.name in names:
            return True
        at = at.outer
    return False


class WithoutLock(Rule):
    """An actor is looked for and, if there is none, started, without a lock.

    Two who look at the same time start two, and clients of both find either.
    """

    id = 'PK304'
    help = 'hold a lock from the look to `wait_for_actor()`, or use maybe_spawn_daemon'
    source = f'{CONC}: daemon lifecycle'

    def check(self, backend: Backend) -> Iterator[Finding]:
        for function in backend.functions:
            looks: list[ast.Call] = []
            spawns: list[ast.Call] = []
            locked = False
            for call in function.of(ast.Call):
                name = last(backend.callee(function, call)) or getattr(
                    call.func, 'attr', ''
                )
                looks += [call] if name in _LOOKS else []
                spawns += [call] if name in _SPAWNS else []
                locked = locked or 'lock' in ast.unparse(call.func).lower()
            for node in function.withs:
                for item in node.items:
                    if 'lock' in ast.unparse(item.context_expr).lower():
                        locked = True
            if looks and spawns and not locked:
                yield self.at(
                    function.module,
                    spawns[0],
                    f'{function.name}() looks for an actor and starts one, unlocked',
                )


class RefusedInInit(Rule):
    """A backend that cannot trade is refused in the init.

    `piker ledger` calls the init for paper accounts of backends without any trading;
    the place to refuse is `spawn_brokerd()`.
    """

    id = 'PK305'
    help = 'raise in spawn_brokerd()'
    source = f'{PIKER}: piker of 2026'

    def check(self, backend: Backend) -> Iterator[Finding]:
        for function in backend.functions:
            if function.name not in ('broker_init', 'brokerd_init'):
                continue
            for node in function.of(ast.Raise):
                above = [
                    it for it in function.module.above(node) if isinstance(it, ast.If)
                ]
                tests = ' '.join(ast.unparse(it.test) for it in above)
                if re.search(
                    r'open_trade_dialog|get_eps|_brokerd_mods|trades_dialogue', tests
                ):
                    yield self.at(
                        function.module,
                        node,
                        f'{function.name}() refuses a backend that cannot trade',
                    )


class LogsAgain(Rule):
    """An endpoint sets up the console log of its actor.

    The daemon has done that, once, as it started; a second handler prints every record
    twice.
    """

    id = 'PK306'
    level = 'warning'
    help = 'leave it to the daemon; get_logger() is enough'
    source = f'{CONC}: daemon lifecycle'

    def check(self, backend: Backend) -> Iterator[Finding]:
        reached = {**backend.graph.reached('datad'), **backend.graph.reached('brokerd')}
        for function in (it for it in backend.functions if it in reached):
            for call in function.of(ast.Call):
                if last(backend.callee(function, call)) == 'get_console_log':
                    yield self.at(
                        function.module,
                        call,
                        f'{function.name}() sets up the console log',
                    )


RULES: list[Rule] = [
    NotInfected(),
    NotInEveryKind(),
    BootedElsewhere(),
    WithoutLock(),
    RefusedInInit(),
    LogsAgain(),
]
