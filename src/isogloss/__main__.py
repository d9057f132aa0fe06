"""`python -m isogloss`, which is also how `accelerate launch -m isogloss run …` starts it."""

from isogloss.cli import main

if __name__ == "__main__":
    main()
