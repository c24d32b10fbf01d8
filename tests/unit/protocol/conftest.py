"""Loads the oracle once, before its users, and takes back what loading it does to the process."""

import sys

import eth_account

__all__ = ["eth_account"]

# py_ecc, which it imports, raises the limit to 100,000: then JSON that nests deep ends the interpreter by
# a full C stack instead of raising RecursionError, and no test would see what the guest does about it.
sys.setrecursionlimit(1000)
