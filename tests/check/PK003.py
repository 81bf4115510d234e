# == bad.py
async def get_client():
    raise DataUnavailable  # piker: ignore[PK999] what is that  # found: PK003
    raise DataUnavailable  # piker: ignore all of it  # found: PK003
    raise DataUnavailable  # piker: ignore[PK722] nobody logs it
