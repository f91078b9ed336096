"""Robots in simulators: scripted demonstrations, and policies rolled out."""
