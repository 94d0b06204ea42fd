"""``python -m edgewidth``, and what ``torchrun -m edgewidth`` starts."""

from edgewidth.cli.main import main

if __name__ == "__main__":
    main()
