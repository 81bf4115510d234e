"""The SDK as a distribution: how it is asked for, and what it asks for itself."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from ..refusal import Refusal

Demand = tuple[str, Requirement]
"""A distribution, with its version, and what it asks for."""


def _distribution(cls: type) -> metadata.Distribution | None:
    root = cls.__module__.partition('.')[0]
    names = sorted(set(metadata.packages_distributions().get(root, ())))
    return metadata.distribution(names[0]) if len(names) == 1 else None


def requirement_of(cls: type) -> str | None:
    """The distribution that `cls` is from, as a bounded requirement."""
    distribution = _distribution(cls)
    if distribution is None:
        return None
    release = re.match(r'(\d+)(?:\.(\d+))?', distribution.version)
    # what was not installed from the index cannot be asked for by name
    if release is None or distribution.read_text('direct_url.json'):
        return None
    major, minor = (int(number or 0) for number in release.groups())
    bound = f'{major + 1}' if major else f'0.{minor + 1}'
    version = distribution.version.partition('+')[0]
    name = distribution.metadata['Name'].replace('_', '-')
    return f'{name}>={version},<{bound}'


def is_typed(root: str) -> bool:
    """Whether mypy sees the types of a top-level package."""
    places = getattr(sys.modules[root], '__path__', ())
    return root in sys.stdlib_module_names or any(
        Path(place, 'py.typed').exists() for place in places
    )


def demands_of(cls: type) -> list[Demand]:
    """What the distribution that `cls` is from asks for, and what that does in turn."""
    demands: list[Demand] = []
    waiting = [_distribution(cls)]
    seen: set[str] = set()
    while waiting:
        distribution = waiting.pop()
        if distribution is None or distribution.metadata['Name'] in seen:
            continue
        seen.add(distribution.metadata['Name'])
        who = f'{distribution.metadata["Name"]} {distribution.version}'
        for text in distribution.requires or ():
            try:
                requirement = Requirement(text)
                wanted = not requirement.marker or requirement.marker.evaluate(
                    {'extra': ''}
                )
                if wanted:
                    demands.append((who, requirement))
                    waiting.append(metadata.distribution(requirement.name))
            except (InvalidRequirement, metadata.PackageNotFoundError):
                continue  # it works without, or would not be here
    return demands


def check_demands(demands: Iterable[Demand], requirements: Iterable[str]) -> None:
    """Raise `Refusal` where no version does for both."""
    ours: dict[str, SpecifierSet] = {}
    for text in requirements:
        own = Requirement(text)
        name = canonicalize_name(own.name)
        ours[name] = ours.get(name, SpecifierSet()) & own.specifier
    for who, theirs in demands:
        name = canonicalize_name(theirs.name)
        if name in ours and not _is_satisfiable(ours[name] & theirs.specifier):
            raise Refusal(
                f'{who} asks for {theirs.name}{theirs.specifier}\n'
                f'note: the project needs {theirs.name}{ours[name]}\n'
                'help: install a version of it that does, beside piker-new'
            )


def _is_satisfiable(specifiers: SpecifierSet) -> bool:
    """Whether there can be a version that all of them let pass.

    Where there is one, there is one at a limit, or next to it.
    """
    versions = [Version('0')]
    for specifier in specifiers:
        limit = specifier.version.removesuffix('.*')
        try:
            release = Version(limit).release
        except InvalidVersion:  # `===` takes any text
            continue
        after = '.'.join(map(str, (*release[:-1], release[-1] + 1)))
        versions += map(Version, (limit, f'{Version(limit).base_version}.0.0.1', after))
    return any(specifiers.contains(each, prereleases=True) for each in versions)
