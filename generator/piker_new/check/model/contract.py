"""What piker asks of a backend: its table of endpoints, and what daemons are told."""

from __future__ import annotations

MIDDLEWARE = ('get_client',)
DATAD = ('get_mkt_info', 'open_history_client', 'open_symbol_search', 'stream_quotes')
BROKERD = ('open_trade_dialog', 'norm_trade')
LEGACY = 'trades_dialogue'

KINDS: dict[str, tuple[str, ...]] = {
    'middleware': MIDDLEWARE,
    'datad': DATAD,
    'brokerd': BROKERD,
}
ENDPOINTS = (*MIDDLEWARE, *DATAD, *BROKERD)

CONTEXTS = {
    'open_symbol_search': 'datad',
    'open_trade_dialog': 'brokerd',
    LEGACY: 'brokerd',
}
"""Those that are `@tractor.context`, by the daemon that hosts them."""

DAEMONS: dict[str, tuple[str, ...]] = {
    'datad': DATAD,
    'brokerd': (*BROKERD, LEGACY),
}
"""Where the code of a daemon is entered."""

LISTS = {'datad': '_datad_mods', 'brokerd': '_brokerd_mods'}
FALLBACK = '__enable_modules__'
