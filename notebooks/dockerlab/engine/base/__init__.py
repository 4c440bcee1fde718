"""The base image: Python on Debian, pulled, loaded from a kit, or made here."""
