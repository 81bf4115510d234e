# == bad/__init__.py
async def stream_quotes(): ...
def datad_init(brokername, **kwargs):  # found: PK302
    kwargs['enable_modules'] = []
    return kwargs
# == good/__init__.py
async def stream_quotes(): ...
def datad_init(brokername, **kwargs):
    kwargs.update(getattr(mod, '_spawn_kwargs', {}))
    kwargs['enable_modules'] = []
    return kwargs
