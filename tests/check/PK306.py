# == bad/__init__.py
from piker.log import get_console_log
async def stream_quotes(loglevel=None):
    get_console_log(loglevel)  # found: PK306
# == good/__init__.py
from piker.log import get_console_log, get_logger
log = get_logger(__name__)
async def stream_quotes(loglevel=None): ...
async def _setup_persistent_datad(ctx):
    get_console_log('info')
