# == bad.py
import threading
def push(event):
    queue.put_nowait(event)
async def get_client():
    threading.Thread(target=push)  # found: PK506
# == good.py
import threading
def push(event):
    loop.call_soon_threadsafe(queue.put_nowait, event)
def work(): ...
async def get_client():
    threading.Thread(target=push)
    threading.Thread(target=work)
