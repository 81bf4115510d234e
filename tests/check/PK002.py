# == bad.py
async def get_client():
    # found next: PK002
    raise DataUnavailable  # piker: ignore[PK722]
    raise DataUnavailable  # piker: ignore[PK722] nobody logs it
