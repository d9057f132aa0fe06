"""How the examples of each kind become rows; `isogloss.data.encode` is the way in."""
