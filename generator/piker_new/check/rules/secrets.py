"""Credentials: who gets to see them."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from ..finding import Finding
from ..model import Backend, Class, Function
from ..model.scope import dotted, last
from .base import PIKER, Rule
from .values import items

SECRET = re.compile(
    r'(^|_)(api_?secret|secret|secret_key|key_secret|passphrase|key_passphrase|'
    r'password|passwd|private_key|api_?key|access_token|refresh_token|'
    r'ws_token|auth_token|priv_key)$',
    re.IGNORECASE,
)
_LOGS = {
    'debug', 'info', 'warning', 'error', 'exception', 'critical', 'log', 'cancel',
    'runtime', 'transport', 'pdb', 'print', 'pprint',
}  # fmt: skip
_ACTORS = {'start_actor', 'run_in_actor', 'open_context', 'run', 'maybe_spawn_daemon'}


def is_secret(name: str) -> bool:
    return bool(SECRET.search(name))


def said(node: ast.AST) -> Iterator[ast.AST]:
    """What of an expression is shown when it is: not what it is only tested by."""
    yield node
    match node:
        case ast.Call(func=func, args=args, keywords=keywords):
            if last(dotted(func)) in (
                'len',
                'bool',
                'type',
                'isinstance',
                'hash',
                'id',
            ):
                return
            for it in (*args, *(keyword.value for keyword in keywords)):
                yield from said(it)
        case ast.IfExp(body=body, orelse=orelse):
            yield from said(body)
            yield from said(orelse)
        case ast.Compare():
            return
        case ast.Attribute() | ast.Constant() | ast.Name():
            return
        case _:
            for child in ast.iter_child_nodes(node):
                yield from said(child)


def shown_secret(scope: Function, value: ast.expr) -> str | None:
    """The secret that an expression shows."""
    for node in said(value):
        match node:
            case ast.Attribute(attr=attr) if is_secret(attr):
                return ast.unparse(node)
            case ast.Name(id=name) if is_secret(name):
                return name
            case ast.Call(func=ast.Attribute(attr='reveal' | 'get_secret_value')):
                return ast.unparse(node)
            case ast.Subscript(slice=ast.Constant(value=str() as key)) if is_secret(
                key
            ):
                return ast.unparse(node)
            case ast.Name(id=name):
                if held := _in_dict(scope, name):
                    return f'{name}, which has {held!r}'
    return None


def _in_dict(scope: Function, name: str) -> str | None:
    """The key of a secret in the dict that a local name stands for."""
    alone = scope.bindings[name] == 1
    for value in scope.locals.get(name, []):
        for node in ast.walk(value):
            if not isinstance(node, ast.Dict):
                continue
            for key, secret in items(node).items():
                if isinstance(secret, ast.Constant):
                    continue
                if is_secret(key) or (alone and key == 'token'):
                    return key
    return None


class InLogs(Rule):
    """A credential is logged or printed.

    Logs are sent to others when something is wrong, and kept.
    """

    id = 'PK901'
    help = 'leave it out'
    source = f'{PIKER}: order dialog'

    def check(self, backend: Backend) -> Iterator[Finding]:
        for scope in backend.scopes:
            for call in scope.of(ast.Call):
                if not self._is_log(scope, call):
                    continue
                for value in (*call.args, *(it.value for it in call.keywords)):
                    if secret := shown_secret(scope, value):
                        yield self.at(scope.module, call, f'logs {secret}')
                        break

    @staticmethod
    def _is_log(scope: Function, call: ast.Call) -> bool:
        name = dotted(call.func)
        if name in ('print', 'pprint'):
            return True
        owner, _, method = name.rpartition('.')
        return method in _LOGS and last(owner).lower().strip('_') in (
            'log', 'logger', 'logging'
        )  # fmt: skip


class InErrors(Rule):
    """A credential is in the message of an error.

    It goes to the caller, be he in another actor, and from there to a log.
    """

    id = 'PK902'
    help = 'leave it out'
    source = f'{PIKER}: order dialog'

    def check(self, backend: Backend) -> Iterator[Finding]:
        for scope in backend.scopes:
            for node in scope.of(ast.Raise):
                if isinstance(node.exc, ast.Call):
                    for value in node.exc.args:
                        if secret := shown_secret(scope, value):
                            yield self.at(scope.module, node, f'raises with {secret}')
                            break


class InRepr(Rule):
    """A credential is shown by the repr of what holds it.

    Whoever logs the object, or lets a traceback show its locals, shows it.
    """

    id = 'PK903'
    help = 'write a __repr__() without it, or field(repr=False)'
    source = f'{PIKER}: order dialog'

    def check(self, backend: Backend) -> Iterator[Finding]:
        for module in backend.modules.values():
            for cls in module.classes.values():
                yield from self._in_class(cls)

    def _in_class(self, cls: Class) -> Iterator[Finding]:
        method = cls.methods.get('__repr__') or cls.methods.get('__str__')
        if method is not None:
            for node in method.of(ast.Return):
                if node.value and (secret := shown_secret(method, node.value)):
                    yield self.at(cls.module, node, f'{cls.name} shows {secret}')
            return
        if not self._shows_fields(cls):
            return
        for statement in cls.node.body:
            match statement:
                case ast.AnnAssign(target=ast.Name(id=name)) if is_secret(name):
                    if statement.value and 'repr=False' in ast.unparse(statement.value):
                        continue
                    yield self.at(cls.module, statement, f'{cls.name} shows its {name}')
                    return

    @staticmethod
    def _shows_fields(cls: Class) -> bool:
        """Whether its repr, as it is made for it, has all fields."""
        bases = {last(dotted(it)) for it in cls.node.bases}
        if bases & {'Struct', 'NamedTuple', 'BaseModel'}:
            return True
        return any(
            last(dotted(it.func if isinstance(it, ast.Call) else it))
            in ('dataclass', 'define', 'frozen')
            and 'repr=False' not in ast.unparse(it)
            for it in cls.node.decorator_list
        )


class ToActors(Rule):
    """A credential is an argument to another actor.

    It goes over a socket, and into the messages that tractor logs; a brokerd reads its
    own.
    """

    id = 'PK904'
    help = 'let the actor that needs it read the configuration'
    source = f'{PIKER}: order dialog'

    def check(self, backend: Backend) -> Iterator[Finding]:
        for scope in backend.scopes:
            for call in scope.of(ast.Call):
                func = call.func
                if not isinstance(func, ast.Attribute) or func.attr not in _ACTORS:
                    continue
                owner = ast.unparse(func.value)
                if func.attr == 'run' and 'portal' not in owner:
                    continue
                for keyword in call.keywords:
                    if keyword.arg and (
                        is_secret(keyword.arg) or shown_secret(scope, keyword.value)
                    ):
                        yield self.at(
                            scope.module, call, f'{func.attr}() is given {keyword.arg}'
                        )
                        break
                else:
                    for value in call.args:
                        if secret := shown_secret(scope, value):
                            yield self.at(
                                scope.module, call, f'{func.attr}() is given {secret}'
                            )
                            break


RULES: list[Rule] = [InLogs(), InErrors(), InRepr(), ToActors()]
