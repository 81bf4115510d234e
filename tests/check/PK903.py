# == bad.py
from dataclasses import dataclass
from msgspec import Struct
class Config(Struct):
    key_id: str
    key_secret: str  # found: PK903
@dataclass
class Login:
    password: str  # found: PK903
class Shown:
    def __repr__(self):
        return f'Shown({self.api_key})'  # found: PK903
async def get_client(): ...
# == good.py
from dataclasses import dataclass, field
from msgspec import Struct
class Config(Struct):
    key_secret: str
    def __repr__(self):
        return 'Config(...)'
@dataclass
class Login:
    password: str = field(repr=False)
class Plain:
    secret: str
async def get_client(): ...
