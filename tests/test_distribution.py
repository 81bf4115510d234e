"""What is published: the wheel."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from conftest import ROOT, Render, outside, tree


def test_a_wheel_generates_without_git_or_a_checkout(
    uv: str, rendered: Render, tmp_path: Path
) -> None:
    subprocess.run(
        [uv, 'build', '-q', '--wheel', '-o', tmp_path],
        cwd=ROOT,
        env=outside(),
        check=True,
    )
    [wheel] = tmp_path.glob('*.whl')
    python = tmp_path / 'venv' / 'bin' / 'python'
    subprocess.run(
        [uv, 'venv', '-q', '-p', sys.executable, tmp_path / 'venv'], check=True
    )
    subprocess.run([uv, 'pip', 'install', '-q', '-p', python, wheel], check=True)
    made = subprocess.run(
        [python.with_name('piker-new'), 'backend', 'deribit2'],
        cwd=tmp_path,
        env={'PATH': ''},
        capture_output=True,
        text=True,
        check=False,
    )
    assert made.returncode == 0, made.stderr
    assert tree(tmp_path / 'deribit2') == tree(rendered({'backend': 'deribit2'}))
