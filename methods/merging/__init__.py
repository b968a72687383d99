"""Weights of several runs made into one: pure algorithms."""
