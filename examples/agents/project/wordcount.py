"""Tells about the words of a text."""

import sys


def main(text: str) -> str:
    return "nothing yet"


if __name__ == "__main__":
    print(main(sys.stdin.read()))
