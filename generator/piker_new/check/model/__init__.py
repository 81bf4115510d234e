"""A backend as its source says it is: modules, names, types, calls and state."""

from .backend import Backend
from .module import Module
from .scope import Class, Function

__all__ = ['Backend', 'Class', 'Function', 'Module']
