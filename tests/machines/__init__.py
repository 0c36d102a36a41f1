"""Real systemd machines to deploy to, by ssh on loopback: containers, and one emulated."""

from pathlib import Path

PROJECT = Path(__file__).parents[2]
