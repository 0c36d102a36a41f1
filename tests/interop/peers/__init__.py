"""The clients, each a program of its own."""
