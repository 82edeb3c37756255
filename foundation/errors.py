"""The root of every error that a package of Driftline raises on purpose."""


class DriftlineError(Exception):
    """Base of every package's base error; the message is one sentence for the user.

    A program catches it to report the message without a traceback and without importing the package
    that raised it. Signals that never reach a user, such as a requested stop, do not derive from it.
    """
