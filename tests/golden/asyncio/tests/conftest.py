"""
The conformance suite runs on minipiker's actor tree; see its plugin for the fixtures.
"""

pytest_plugins = ['minipiker.testing', 'minipiker.guest']
