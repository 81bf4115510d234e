# == bad/__init__.py
import tractor
from tractor._state import _runtime_vars
folder = _runtime_vars['piker_vars']['piker_test_dir']  # found: PK405
async def stream_quotes(level=tractor.current_actor().loglevel): ...  # found: PK405
# == good/__init__.py
import tractor
async def stream_quotes():
    tractor.current_actor()
    return tractor._state._runtime_vars['piker_vars']
