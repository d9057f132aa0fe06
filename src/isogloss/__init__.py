"""isogloss: make one multilingual language model fair, small and cheap in the languages you care about."""

__version__ = "0.1.0.dev0"
