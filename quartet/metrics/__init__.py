"""Figures of a running program for Prometheus, and answers to health checks, over HTTP."""
