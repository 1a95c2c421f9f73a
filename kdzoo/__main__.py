"""``python -m kdzoo`` is ``kdzoo``."""

from kdzoo.cli.main import main

if __name__ == "__main__":
    main()
