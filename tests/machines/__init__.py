"""Real systemd machines to deploy to: Debian in systemd-nspawn, reached over ssh on loopback."""
