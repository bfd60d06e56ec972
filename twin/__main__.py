"""`python -m twin`, the same as `twin`."""

from twin.cli import main

if __name__ == "__main__":
    main()
