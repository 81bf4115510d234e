# == bad/__init__.py
name = 'bad'  # found: PK105
async def stream_quotes(): ...
# == good/__init__.py
NAME = 'good'
async def stream_quotes():
    name = NAME
