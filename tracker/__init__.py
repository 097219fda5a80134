"""Treasury Tracker: follows the coins and the filings of treasuries and reserves."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("treasury-tracker")
except PackageNotFoundError:  # a source tree that was never installed
    __version__ = "0+unknown"

__all__ = ["__version__"]
