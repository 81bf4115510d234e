"""
The conformance suite runs on minipiker's actor tree; see its plugins for the fixtures.
"""

pytest_plugins = [
    'minipiker.testing',
    'minipiker.brokers.testing',
    'minipiker.data.testing',
    'minipiker.clearing.testing',
]
