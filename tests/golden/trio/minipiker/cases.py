"""
What a backend is asked to prove, by ids that stay.

A test says by `@pytest.mark.case(ID)` what it proves; `pytest --ids` lists them all,
and `minipiker ready` what has been proved, where and when.
"""

from __future__ import annotations

from ._case import Case
from .clearing.cases import EXEC, ORDER_RULES, ORDER_TRAITS

RULES = [
    Case('RULE-HOSTS', 'datad hosts what is for data, brokerd what is for orders'),
    Case('RULE-NO-BROKERD', 'charts and orders on paper run without a brokerd'),
    Case('RULE-MODS', 'each kind of daemon declares its modules'),
    Case('RULE-LIFECYCLE', 'each kind of daemon has its four functions'),
    Case('RULE-EXPOSED', 'a daemon lets others call no more than it must'),
    Case('RULE-POSITIONAL', 'cached lookups are called by positional arguments'),
    Case('RULE-ADDRESSES', 'addresses are normalised before they are compared'),
    Case('RULE-SHAPES', 'what piker would drop in silence fails loudly'),
    Case('RULE-ORPHANS', 'no process outlives the tree'),
    Case('RULE-RUNTIME-VARS', 'runtime variables are read when they are used'),
    Case('RULE-ERRORS', 'remote errors are known by their type'),
    Case('RULE-MID', 'a reply reaches the call that it is for'),
]

DATA = [
    Case('DATA-MARKETS', 'all markets are listed, and lead back', 'get_client'),
    Case('DATA-MARKET', 'a market is described in full', 'get_mkt_info'),
    Case('DATA-NAMES', 'each form of a name is the same market', 'get_mkt_info'),
    Case('DATA-UNKNOWN', 'an unknown market is refused', 'get_mkt_info'),
    Case('DATA-SEARCH', 'each pattern is answered once', 'open_symbol_search'),
    Case('DATA-QUOTES', 'quotes come, and are as piker wants them', 'stream_quotes'),
    Case('DATA-TRADES', 'trades come, each once', 'stream_quotes'),
    Case('DATA-TRADES-LOST', 'what was missed is fetched', 'replay_trades'),
    Case('DATA-BARS', 'frames of bars meet and ascend', 'open_history_client'),
    Case('DATA-BARS-SANE', 'bars are between their extremes', 'open_history_client'),
    Case('DATA-BARS-END', 'where history ends is said', 'open_history_client'),
    Case('DATA-BARS-LENGTH', 'a wrong length is refused', 'open_history_client'),
    Case('DATA-LEAVE', 'a feed is left, and opened again', 'stream_quotes'),
    Case('DATA-RECONNECT', 'a feed goes on after a disconnect', 'stream_quotes'),
]

TRAITS = [
    Case('TRAIT-NUMBERS', 'trades are numbered as it says', 'TRAITS.trade_numbers'),
    Case('TRAIT-BAR-LENGTHS', 'bars are as long as it says', 'TRAITS.bar_seconds'),
    Case('TRAIT-BARS-A-CALL', 'a call has as many as it says', 'TRAITS.bars_per_call'),
    Case('TRAIT-BARS-BACK', 'bars go back as far as it says', 'TRAITS.bars_back'),
    Case('TRAIT-CHANNELS', 'what is numbered shows a gap', 'TRAITS.numbered_channels'),
]

CASES = [*RULES, *ORDER_RULES, *DATA, *EXEC, *TRAITS, *ORDER_TRAITS]
